//! What is on the screen, and what keys do to it: no terminal is needed for that.

use std::cmp::Ordering;
use std::collections::VecDeque;

use nodesockd_core::text::escape;

use super::changes::changes;
use super::source::{Figures, Look};
use crate::view::{StatusView, WorkerView, short};

/// How many changes are remembered.
const CHANGES: usize = 200;
/// How many looks the line of the past goes back.
const PAST: usize = 240;

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Slot,
    Cpu,
    Memory,
    Queue,
    Age,
    Rate,
    Lag,
}

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Erase,
    Enter,
    Escape,
    Quit,
    /// So many rows down; up, if it is negative.
    Scroll(i32),
}

/// A worker's row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub worker: WorkerView,
    pub figures: Figures,
}

/// The whole state of the view.
#[derive(Debug)]
pub(super) struct Board {
    pub look: Option<Look>,
    /// Why there was nothing to be seen the last time.
    pub trouble: Option<String>,
    pub order: Order,
    /// What rows have to contain.
    pub filter: String,
    /// Letters go to the filter.
    pub typing: bool,
    /// The first row that is shown.
    pub first: usize,
    /// The last changes with the time of each, in milliseconds since the epoch; the latest first.
    pub changes: VecDeque<(u64, String)>,
    /// The workers' share of a CPU together, in percent; the latest last.
    pub past: VecDeque<u64>,
    /// What they did together, where they count.
    pub served: Served,
}

/// What workers that count did together; the latest last.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Requests a second.
    pub rates: VecDeque<u64>,
    /// How late the latest event loop was, in µs.
    pub lags: VecDeque<u64>,
}

/// The sums of all workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sums {
    pub cpu: f64,
    pub memory: u64,
    pub queue: u64,
    /// Nothing, where nobody counts.
    pub served: Option<Now>,
}

/// What workers that count do at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Now {
    /// Requests a second, of all together.
    pub rate: f64,
    /// Requests that are not answered yet.
    pub in_flight: u64,
    /// How late the latest event loop was, in ms.
    pub lag: f64,
}

impl Board {
    pub fn new() -> Self {
        Self {
            look: None,
            trouble: None,
            order: Order::Slot,
            filter: String::new(),
            typing: false,
            first: 0,
            changes: VecDeque::new(),
            past: VecDeque::new(),
            served: Served::default(),
        }
    }

    /// Takes in what was seen.
    pub fn sees(&mut self, look: Look) {
        if let Some(before) = &self.look {
            for line in changes(&before.status, &look.status) {
                self.changes.push_front((look.now, line));
            }
            self.changes.truncate(CHANGES);
        }
        self.trouble = None;
        self.look = Some(look);
        let sums = self.sums();
        remember(&mut self.past, sums.cpu);
        if let Some(now) = sums.served {
            remember(&mut self.served.rates, now.rate);
            remember(&mut self.served.lags, now.lag * 1000.0);
        }
    }

    /// There was nothing to be seen. What was seen last stays.
    pub fn misses(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Takes in a key. Returns whether the view is to be closed.
    pub fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Scroll(rows) => {
                let by = rows.unsigned_abs() as usize;
                self.first =
                    if rows < 0 { self.first.saturating_sub(by) } else { self.first.saturating_add(by) };
                self.first = self.first.min(self.rows().len().saturating_sub(1));
            }
            Key::Escape if self.typing || !self.filter.is_empty() => {
                self.typing = false;
                self.filter.clear();
            }
            Key::Enter => self.typing = false,
            Key::Erase => {
                self.filter.pop();
            }
            Key::Letter(letter) if self.typing => {
                self.filter.push(letter);
                self.first = 0;
            }
            Key::Letter('/') => self.typing = true,
            Key::Letter('s') => self.order = Order::Slot,
            Key::Letter('c') => self.order = Order::Cpu,
            Key::Letter('m') => self.order = Order::Memory,
            Key::Letter('w') => self.order = Order::Queue,
            Key::Letter('a') => self.order = Order::Age,
            Key::Letter('r') => self.order = Order::Rate,
            Key::Letter('l') => self.order = Order::Lag,
            Key::Letter('q') | Key::Escape | Key::Quit => return true,
            Key::Letter(_) => {}
        }
        false
    }

    /// The rows that fit the filter, sorted.
    pub fn rows(&self) -> Vec<Row> {
        let Some(look) = &self.look else { return Vec::new() };
        let all = look.status.workers.iter().cloned().zip(look.figures.iter().copied());
        let mut rows: Vec<Row> = all
            .map(|(worker, figures)| Row { worker, figures })
            .filter(|row| self.filter.is_empty() || row.words().contains(&self.filter))
            .collect();
        let largest_first = |left: Option<f64>, right: Option<f64>| {
            right.unwrap_or(-1.0).partial_cmp(&left.unwrap_or(-1.0)).unwrap_or(Ordering::Equal)
        };
        // Stable: those that are alike stay in the order of their slots.
        rows.sort_by_key(|row| row.worker.rank());
        match self.order {
            Order::Slot => {}
            Order::Cpu => rows.sort_by(|left, right| largest_first(left.figures.cpu, right.figures.cpu)),
            Order::Memory => rows.sort_by_key(|row| std::cmp::Reverse(row.figures.memory)),
            Order::Queue => rows.sort_by_key(|row| std::cmp::Reverse(row.figures.queue)),
            Order::Age => rows.sort_by_key(|row| row.worker.state_ts),
            Order::Rate => rows.sort_by(|left, right| largest_first(left.figures.rate, right.figures.rate)),
            Order::Lag => rows.sort_by(|left, right| largest_first(left.figures.lag, right.figures.lag)),
        }
        rows
    }

    /// What all workers use together.
    pub fn sums(&self) -> Sums {
        let figures = self.look.iter().flat_map(|look| &look.figures);
        figures.fold(Sums { cpu: 0.0, memory: 0, queue: 0, served: None }, |sums, its| Sums {
            cpu: sums.cpu + its.cpu.unwrap_or(0.0),
            memory: sums.memory + its.memory.unwrap_or(0),
            queue: sums.queue + its.queue.map_or(0, u64::from),
            served: its.in_flight.map_or(sums.served, |in_flight| {
                let now = sums.served.unwrap_or_default();
                Some(Now {
                    rate: now.rate + its.rate.unwrap_or(0.0),
                    in_flight: now.in_flight + in_flight,
                    lag: now.lag.max(its.lag.unwrap_or(0.0)),
                })
            }),
        })
    }

    /// The daemon's own account, if it was seen.
    pub fn status(&self) -> Option<&StatusView> {
        self.look.as_ref().map(|look| &look.status)
    }
}

/// Adds to the line of the past.
fn remember(past: &mut VecDeque<u64>, value: f64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no value is negative")]
    past.push_back(value.round() as u64);
    if past.len() > PAST {
        past.pop_front();
    }
}

impl Row {
    /// What a filter looks at.
    fn words(&self) -> String {
        let pid = self.worker.pid.map_or_else(String::new, |pid| pid.to_string());
        format!(
            "{} {} {pid} {}",
            self.worker.place(),
            escape(short(&self.worker.id), 5),
            escape(&self.worker.state, 40)
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Three slots and a standby, as they are at `now`.
    pub(in crate::top) fn look(now: u64) -> Look {
        let worker = |id: &str, pid: u32, slot: Option<u32>, state: &str, since: u64| json!({ "id": id, "pid": pid, "idx": slot, "standby": slot.is_none(), "state": state, "stateTs": since, "generation": 3 });
        let status = json!({
            "version": "3.0.0", "pid": 400, "name": "shop", "startTs": 0, "generation": 3, "release": "/srv/shop/releases/3",
            "workers": [
                worker("aaaaa", 411, Some(0), "online", 5000),
                worker("bbbbb", 412, Some(1), "online", 1000),
                worker("ccccc", 413, Some(2), "running", 9000),
                worker("ddddd", 414, None, "suspended", 2000),
            ],
        });
        let figures = |cpu: f64, memory: u64, queue: Option<u32>| Figures {
            cpu: Some(cpu),
            memory: Some(memory << 20),
            queue,
            ..Figures::default()
        };
        Look {
            status: serde_json::from_value(status).unwrap(),
            figures: vec![
                figures(3.2, 81, Some(0)),
                figures(97.6, 140, Some(12)),
                figures(55.0, 60, None),
                Figures { memory: Some(70 << 20), ..Figures::default() },
            ],
            now,
        }
    }

    /// The same, of workers that count.
    pub(in crate::top) fn counting(now: u64) -> Look {
        let mut look = look(now);
        let counted = |rate: f64, in_flight: u64, lag: f64| (Some(rate), Some(in_flight), Some(lag));
        let all = [counted(310.4, 4, 0.3), counted(298.0, 31, 12.25), counted(0.0, 0, 0.1)];
        for (figures, counted) in look.figures.iter_mut().zip(all) {
            (figures.rate, figures.in_flight, figures.lag) = counted;
        }
        look
    }

    fn places(board: &Board) -> Vec<String> {
        board.rows().iter().map(|row| row.worker.place()).collect()
    }

    #[test]
    fn rows_are_sorted_by_what_the_key_says() {
        let mut board = Board::new();
        board.sees(look(10_000));
        assert_eq!(places(&board), ["0", "1", "2", "standby"]);
        for (key, first) in [('c', "1"), ('m', "1"), ('w', "1"), ('a', "1"), ('s', "0")] {
            assert!(!board.press(Key::Letter(key)));
            assert_eq!(places(&board)[0], first, "{key}");
        }
        assert_eq!(board.sums().queue, 12);
        assert!(board.press(Key::Letter('q')));
    }

    #[test]
    fn workers_that_count_are_sorted_by_what_they_count() {
        let mut board = Board::new();
        board.sees(look(10_000));
        assert_eq!(board.sums().served, None);
        board.sees(counting(11_000));
        for (key, first) in [('r', "0"), ('l', "1")] {
            board.press(Key::Letter(key));
            assert_eq!(places(&board)[0], first, "{key}");
        }
        assert_eq!(board.sums().served, Some(Now { rate: 608.4, in_flight: 35, lag: 12.25 }));
        assert_eq!((board.served.rates.back(), board.served.lags.back()), (Some(&608), Some(&12_250)));
    }

    #[test]
    fn a_filter_takes_letters_until_it_is_left() {
        let mut board = Board::new();
        board.sees(look(10_000));
        for key in ['/', 'q', 'x'] {
            assert!(!board.press(Key::Letter(key)), "{key}");
        }
        assert!(places(&board).is_empty());
        board.press(Key::Escape);
        board.press(Key::Letter('/'));
        "online".chars().for_each(|letter| assert!(!board.press(Key::Letter(letter))));
        board.press(Key::Enter);
        assert_eq!(places(&board), ["0", "1"]);
        board.press(Key::Scroll(5));
        assert_eq!(board.first, 1, "the last row stays in sight");
        assert!(!board.press(Key::Escape));
        assert!(board.press(Key::Escape));
    }

    #[test]
    fn what_was_seen_last_stays_when_the_daemon_is_away() {
        let mut board = Board::new();
        board.sees(look(10_000));
        board.misses("no daemon is running".to_owned());
        assert_eq!(board.rows().len(), 4);
        board.sees(look(11_000));
        assert_eq!((board.trouble.as_ref(), board.past.len()), (None, 2));
        assert!(board.changes.is_empty());
    }
}
