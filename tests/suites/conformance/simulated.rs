//! The simulated backend.

use std::path::PathBuf;

use nodesockd_core::id::Ids;
use nodesockd_sim::{Behaviour, Bench, Call, Death, Left, Settings, bench};

use crate::stage::{Errand, Part, Stage, ids};

pub struct Simulated<B> {
    bench: B,
    ids: Ids,
}

pub fn new() -> Simulated<impl Bench> {
    Simulated { bench: bench(Settings::default()).expect("a pattern"), ids: ids() }
}

impl<B: Bench> Stage for Simulated<B> {
    type Backend = B;

    fn backend(&mut self) -> &mut B {
        &mut self.bench
    }

    fn ids(&mut self) -> &mut Ids {
        &mut self.ids
    }

    fn casts(&mut self, part: Part) -> (Vec<String>, PathBuf) {
        let deviations = match part {
            Part::Serves => vec![],
            Part::IgnoresSigterm => vec![Behaviour::IgnoresSigterm],
            Part::Breaks => {
                let dies = Behaviour::Dies { after_ms: 500, how: Death::Code(3) };
                vec![Behaviour::Breaks { after_ms: 100 }, dies]
            }
            Part::Wrapped => vec![Behaviour::Wrapped { lingers: true }],
            Part::ClosesChannel => vec![Behaviour::ClosesChannel { after_ms: 10 }],
            Part::Exits(code) => vec![Behaviour::Dies { after_ms: 10, how: Death::Code(code) }],
            Part::DiesOf(signal) => vec![Behaviour::Dies { after_ms: 10, how: Death::Signal(signal) }],
            Part::Missing => {
                self.bench.fail(Call::Spawn);
                vec![]
            }
        };
        deviations.into_iter().for_each(|behaviour| self.bench.deviate(behaviour));
        (vec!["node".into()], PathBuf::from("/run/app"))
    }

    fn command(&self, errand: Errand) -> String {
        match errand {
            Errand::Succeeds => "Migrate 6 Succeeds".to_owned(),
            Errand::Fails => "Migrate 6 Fails".to_owned(),
            Errand::TakesLong => "Migrate 600000 Succeeds".to_owned(),
        }
    }

    fn put(&mut self, name: &str, left: Left<'_>) {
        self.bench.put(name, left);
    }

    fn take(&mut self, name: &str) {
        self.bench.take(name);
    }

    fn holds(&mut self, name: &str) -> bool {
        self.bench.holds(name)
    }

    fn target(&mut self, link: &str) -> Option<String> {
        self.bench.target(link)
    }

    fn absolute(&self, socket: &str) -> String {
        format!("/run/app/{socket}")
    }

    fn connect(&mut self, link: &str) -> bool {
        self.bench.connect(link)
    }
}
