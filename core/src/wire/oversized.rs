//! What can be done about a line that is too long: whoever waits for an answer is told, if the line begins by saying who that
//! is. Libraries of 2.x send lines of any length, and put ids before data.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Code, FromWorker, Incoming, MAX_FRAME, MAX_REQUEST_ID, Rejection, Sender};

/// What the beginning of a line says, as far as it goes.
#[derive(Debug, Default)]
struct Beginning {
    kind: Option<String>,
    id: Option<String>,
    request_id: Option<String>,
}

/// Reads the beginning of a line of more than [`MAX_FRAME`] bytes.
///
/// # Errors
///
/// A [`Rejection`]: only a worker's reply can be passed on, as a failure.
pub fn decode_oversized(head: &[u8], from: Sender) -> Result<Incoming, Rejection> {
    let mut beginning = Beginning::default();
    // The line is cut, so that this fails in any case.
    let _ = serde_json::Deserializer::from_slice(head).deserialize_map(Reader(&mut beginning));
    let error = format!("a line of more than {MAX_FRAME} bytes");
    let fits = |id: &String| id.len() <= MAX_REQUEST_ID;
    let Beginning { kind, id, request_id } = beginning;
    match (from, kind.as_deref(), request_id.filter(fits), id.filter(fits)) {
        (Sender::Worker | Sender::Survivor, Some("reply"), Some(request), _) => {
            let errors = vec![format!(
                "the worker's answer is longer than the {MAX_FRAME} bytes that a message may have"
            )];
            Ok(Incoming::Message(FromWorker::Reply {
                request,
                answers: true,
                data: None,
                errors,
                done: true,
            }))
        }
        (_, Some(_), _, Some(id)) => Err(Rejection::Answer { id, code: Code::Usage, error }),
        _ => Err(Rejection::Unusable(error)),
    }
}

/// Keeps what it reads before the end.
struct Reader<'a>(&'a mut Beginning);

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => self.0.kind = map.next_value()?,
                "id" => self.0.id = map.next_value()?,
                "requestId" => self.0.request_id = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_of_a_worker_becomes_a_failure() {
        let head = br#"{"type":"reply","requestId":"r","data":{"pid":5,"data":"xxxx"#;
        for from in [Sender::Worker, Sender::Survivor] {
            let Ok(Incoming::Message(FromWorker::Reply { request, answers, data, errors, done })) =
                decode_oversized(head, from)
            else {
                panic!()
            };
            assert_eq!((request.as_str(), answers, data, done), ("r", true, None, true));
            assert!(errors[0].contains("1048576 bytes"), "{errors:?}");
        }
        assert!(matches!(decode_oversized(head, Sender::Client), Err(Rejection::Unusable(_))));
    }

    #[test]
    fn request_is_answered_by_its_id() {
        let head = br#"{"id":"a","data":{"message":"m","workers":"1"},"type":"send-app-msg","x":"xxx"#;
        for from in [Sender::Worker, Sender::Survivor, Sender::Client] {
            let Err(Rejection::Answer { id, code: Code::Usage, .. }) = decode_oversized(head, from) else {
                panic!()
            };
            assert_eq!(id, "a");
        }
    }

    #[test]
    fn line_that_begins_otherwise_is_unusable() {
        let long = format!(r#"{{"type":"reply","requestId":"{}","data":1"#, "x".repeat(MAX_REQUEST_ID + 1));
        let beginnings = [
            "xxxx",
            r#""xxx"#,
            "[1,",
            r#"{"type":"reply","data":"#,
            r#"{"type":5,"requestId":"r","#,
            &long,
            "",
        ];
        for head in beginnings {
            let decoded = decode_oversized(head.as_bytes(), Sender::Worker);
            assert!(matches!(decoded, Err(Rejection::Unusable(_))), "{head}: {decoded:?}");
        }
    }
}
