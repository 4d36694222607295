//! Whether and when a container that has ended is started again, as Docker's daemon decides it.

use crate::orders::{self, Orders};

/// The pause before the first time, and the longest, in milliseconds. Each is twice the one before.
const FIRST: u64 = 100;
const LONGEST: u64 = 60_000;
/// A container that has run for so long begins with the first pause again.
const LASTING: u64 = 10_000;

pub struct Policy {
    kind: u64,
    retries: u64,
    /// The last pause, 0 if there was none.
    pause: u64,
    /// How often it was started again.
    pub count: u64,
}

impl Policy {
    pub fn new(orders: &Orders) -> Self {
        Self { kind: orders.number(orders::POLICY), retries: orders.number(orders::RETRIES), pause: 0, count: 0 }
    }

    /// How long to wait before the next start, in milliseconds; `None` if there is none.
    pub fn pause(&mut self, has_failed: bool, ran_for: u64) -> Option<u64> {
        let again = match self.kind {
            orders::ALWAYS => true,
            orders::ON_FAILURE => has_failed && (self.retries == 0 || self.count < self.retries),
            _ => false,
        };
        if ran_for >= LASTING {
            self.pause = 0;
        }
        self.pause = if self.pause == 0 { FIRST } else { self.pause.wrapping_mul(2).min(LONGEST) };
        again.then_some(self.pause)
    }
}
