//! Batches of workers, for people.

use nodesockd_core::wire::BatchStatus;

/// How far an operation is that replaces workers batch by batch, in the middle of a sentence.
pub(super) fn batch_words(batch: &BatchStatus) -> String {
    match batch {
        BatchStatus { number: 0, back: true, .. } => "going back to the old workers' release".to_owned(),
        BatchStatus { number, of, back: true } => {
            format!("batch {number} of {of} on the way back to the old workers' release")
        }
        BatchStatus { number, of, back: false } => format!("batch {number} of {of}"),
    }
}

/// The line that says that a batch begins.
#[must_use]
pub fn batch_line(batch: &BatchStatus) -> String {
    let words = batch_words(batch);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_which_batch_of_how_many_begins_and_which_way() {
        let line = |number, of, back| batch_line(&BatchStatus { number, of, back });
        assert_eq!(line(2, 8, false), "Batch 2 of 8.");
        assert_eq!(line(0, 0, true), "Going back to the old workers' release.");
        assert_eq!(line(1, 2, true), "Batch 1 of 2 on the way back to the old workers' release.");
    }
}
