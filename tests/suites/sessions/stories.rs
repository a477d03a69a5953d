//! The stories.

use std::time::Duration;

use nodesockd::client::ClientError;
use nodesockd_core::wire::{Json, Request, StartOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use turmoil::Result;

use crate::sim_network::{Guest, SimNetwork, perform};

/// How long a client waits for what must come, in simulated time.
const STORY_LIMIT: Duration = Duration::from_secs(60);

fn restart() -> Request {
    let options = StartOptions { progress: true, wait: true, ..StartOptions::default() };
    Request::Restart { options, version: None }
}

/// Every worker in a slot answers with so many bytes.
fn echo(name: &str, bytes: usize) -> Request {
    Request::SendRequest { request: name.into(), data: Some(Json::of(&bytes)), workers: None }
}

/// Asks, and takes in the whole answer.
async fn ask(guest: &Guest, request: Request) -> Vec<Json> {
    let mut client = guest.client().await;
    let answer = timeout(STORY_LIMIT, async {
        let mut answers = client.ask(&request).await?;
        let mut parts = Vec::new();
        while let Some(part) = answers.next().await? {
            parts.push(part);
        }
        Ok::<_, ClientError>(parts)
    });
    answer.await.expect("an answer in time").expect("an answer")
}

/// A client that asks once the daemon is up, and is answered.
async fn visit(guest: Guest) -> Result {
    let status = ask(&guest, Request::Status).await;
    assert_eq!(status.len(), 1);
    guest.tell("is served");
    Ok(())
}

fn visitor(network: &mut SimNetwork, name: &str) {
    let guest = network.guest(name);
    network.sim.client(name.to_owned(), visit(guest));
}

/// Several clients at once, each with requests of its own, get each their own answers, whole and in order.
#[test]
fn clients_do_not_hear_each_other() {
    perform(200, |network| {
        for number in 1..=4usize {
            let guest = network.guest(&format!("client{number}"));
            network.sim.client(guest.name.clone(), async move {
                for round in 1..=5 {
                    let length = number * 1000 + round;
                    let answers = ask(&guest, echo("size", length)).await;
                    assert_eq!(answers.len(), 3);
                    let whole = |answer: &Json| answer.get().matches('x').count() == length;
                    assert!(answers.iter().all(whole), "{} of {length}", guest.name);
                }
                let progress = ask(&guest, restart()).await;
                assert!(progress.len() > 8, "a restart in only {} steps", progress.len());
                guest.tell("is done");
                Ok(())
            });
        }
        network.finish();
    });
}

/// Every byte on its own, in both directions.
#[test]
fn single_bytes_make_the_same_lines() {
    perform(1, |network| {
        let guest = network.guest("client");
        network.sim.client("client", async move {
            let answers = ask(&guest, echo("size", 50)).await;
            assert_eq!(answers.len(), 3);
            visit(guest).await
        });
        network.finish();
    });
}

/// The network keeps everything back in the middle of an answer, and lets it go later.
#[test]
fn delayed_answer_arrives_whole() {
    perform(64, |network| {
        let guest = network.guest("client");
        network.sim.client("client", async move {
            let answers = ask(&guest, echo("size", 4000)).await;
            assert_eq!(answers.len(), 3);
            guest.tell("has it all");
            Ok(())
        });
        network.until("a part of the answer", |trace| trace.bytes("client hears") > 500);
        network.sim.hold("client", "daemon");
        visitor(network, "other");
        network.until("others are served meanwhile", |trace| trace.has("other: is served"));
        assert!(!network.trace.has("has it all"));
        network.sim.release("client", "daemon");
        network.finish();
        assert!(network.trace.has("has it all"));
    });
}

/// The network loses everything for a while. Whoever was talking has to give up; the daemon goes on, with others at once
/// and with the same client when the network is back.
#[test]
fn partition_costs_the_connection_only() {
    perform(64, |network| {
        let guest = network.guest("client");
        network.sim.client("client", async move {
            let mut client = guest.client().await;
            let request = echo("size", 4000);
            let lost = timeout(Duration::from_secs(3), client.request(&request)).await;
            assert!(!matches!(lost, Ok(Ok(_))), "it was answered through a partition");
            guest.tell("gives up");
            drop(client);
            while !guest.trace.has("network: is back") {
                sleep(Duration::from_millis(50)).await;
            }
            visit(guest).await
        });
        network.until("a part of the answer", |trace| trace.bytes("client hears") > 500);
        network.sim.partition("client", "daemon");
        visitor(network, "other");
        network.until("others are served meanwhile", |trace| trace.has("other: is served"));
        network.until("the client gives up", |trace| trace.has("client: gives up"));
        network.sim.repair("client", "daemon");
        network.trace.tell("network", "is back");
        network.finish();
    });
}

/// A client asks for a restart and dies before it is done: it is done all the same.
#[test]
fn client_dying_during_answer_cancels_nothing() {
    perform(64, |network| {
        let guest = network.guest("mortal");
        network.sim.host("mortal", move || {
            let guest = guest.clone();
            async move {
                ask(&guest, restart()).await;
                panic!("it was to die before");
            }
        });
        network.until("the restart has begun", |trace| trace.bytes("mortal hears") > 200);
        network.sim.crash("mortal");
        let guest = network.guest("other");
        network.sim.client("other", async move {
            // Behind the one that is under way. Each starts three workers and a standby, and so did the daemon.
            ask(&guest, restart()).await;
            let status = ask(&guest, Request::Status).await;
            let status = status[0].get();
            assert_eq!(status.matches("\"state\":").count(), 4, "{status}");
            assert!(["109", "110", "111", "112"].iter().all(|pid| status.contains(pid)), "{status}");
            assert!(!status.contains("operation"), "{status}");
            Ok(())
        });
        network.finish();
        assert!(network.trace.has("c1 is gone"));
    });
}

/// Half a request is none, whoever sent it dies, hangs up or goes on.
#[test]
fn half_a_request_of_a_dying_client_is_ignored() {
    perform(8, |network| {
        let guest = network.guest("mortal");
        network.sim.host("mortal", move || {
            let guest = guest.clone();
            async move {
                let mut stream = guest.connect().await?;
                stream.write_all(b"{\"type\":\"status\",\"id\":\"1\"}\n{\"type\":\"termin").await?;
                guest.tell("has sent half of it");
                sleep(STORY_LIMIT).await;
                Ok(())
            }
        });
        network.until("the first request is heard", |trace| trace.has("c1 asks: Status"));
        network.until("half of the second is sent", |trace| trace.has("has sent half of it"));
        network.sim.crash("mortal");
        visitor(network, "other");
        network.finish();
        assert!(network.trace.has("c1 is gone"));
        assert!(!network.trace.has("Terminate"));
    });
}

/// A client asks on and on, and reads nothing. It is given up when four frames wait for it; others notice nothing.
#[test]
fn client_that_never_reads_is_disconnected() {
    perform(4096, |network| {
        let guest = network.guest("silent");
        network.sim.client("silent", async move {
            let mut stream = guest.connect().await?;
            for number in 0..20 {
                let line = echo("flood", 200_000).encode(&number.to_string());
                if stream.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
            while !guest.trace.has("c1 is gone") {
                sleep(Duration::from_millis(10)).await;
            }
            // What was on its way can still be read. The end is lost on it: turmoil drops what exceeds its buffers.
            let mut text = Vec::new();
            let _ = timeout(Duration::from_secs(1), stream.read_to_end(&mut text)).await;
            assert!(text.len() < 2 << 20, "{} bytes", text.len());
            Ok(())
        });
        network.until("the flood is on its way", |trace| trace.has("c1 asks: flood"));
        visitor(network, "other");
        network.finish();
        assert!(network.trace.has("other: is served"));
    });
}

/// Many clients connect, ask and are gone again, some without a word and some without waiting for the answer.
#[test]
fn daemon_survives_connection_storm() {
    perform(64, |network| {
        for number in 0..20u32 {
            let guest = network.guest(&format!("client{number}"));
            network.sim.client(guest.name.clone(), async move {
                for round in 0..5 {
                    match (number + round) % 3 {
                        0 => drop(guest.connect().await?),
                        1 => {
                            let mut stream = guest.connect().await?;
                            stream.write_all(Request::Status.encode("1").as_bytes()).await?;
                        }
                        _ => visit(guest.clone()).await?,
                    }
                }
                Ok(())
            });
        }
        network.finish();
        visitor(network, "last");
        network.finish();
        assert!(network.trace.has("last: is served"));
        for connection in 1..=100 {
            assert!(network.trace.has(&format!("c{connection} is gone")), "c{connection} is forgotten");
        }
    });
}

/// What is none of the protocol is answered once, and ends that connection alone.
#[test]
fn garbage_ends_its_own_connection_only() {
    perform(16, |network| {
        let guest = network.guest("mad");
        network.sim.client("mad", async move {
            let mut stream = guest.connect().await?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
            let mut text = String::new();
            timeout(STORY_LIMIT, stream.read_to_string(&mut text)).await.expect("an end")?;
            assert!(
                text.starts_with(r#"{"type":"reply","requestId":"","errors":["#) && text.lines().count() == 1,
                "{text}"
            );
            Ok(())
        });
        visitor(network, "other");
        network.finish();
    });
}

/// The daemon ends: who asked for it is told, and so is everybody else, by the end of the connection.
#[test]
fn daemon_exit_closes_connections() {
    perform(32, |network| {
        let idle = network.guest("idle");
        network.sim.client("idle", async move {
            let mut client = idle.client().await;
            client.request(&Request::Status).await.map_err(|error| format!("{error:?}"))?;
            idle.tell("waits");
            timeout(STORY_LIMIT, client.closed()).await.expect("the end");
            Ok(())
        });
        network.until("somebody waits", |trace| trace.has("idle: waits"));
        let guest = network.guest("client");
        network.sim.client("client", async move {
            let mut client = guest.client().await;
            let answer = timeout(STORY_LIMIT, client.request(&Request::Terminate)).await.expect("an answer");
            assert!(answer.is_ok_and(|pid| pid.is_some_and(|pid| pid.get() == r#"{"pid":1}"#)));
            timeout(STORY_LIMIT, client.closed()).await.expect("the end");
            Ok(())
        });
        network.finish();
        assert!(network.trace.has("daemon: has quit"));
    });
}
