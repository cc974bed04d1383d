//! Obligations worth trying, the most profitable first.

use std::collections::HashMap;

use solana_address::Address;

/// Each obligation once, with the profit it was last quoted.
#[derive(Debug, Default)]
pub struct Queue {
    profits: HashMap<Address, f64>,
}

impl Queue {
    /// Queues an obligation, or corrects its profit. One whose profit is not a
    /// number is not queued.
    pub fn put(&mut self, key: &Address, profit: f64) {
        if profit.is_nan() {
            self.profits.remove(key);
        } else {
            self.profits.insert(*key, profit);
        }
    }

    /// Takes the most profitable one; among equals the one at the lowest address.
    pub fn take(&mut self) -> Option<(Address, f64)> {
        let (key, profit) = self
            .profits
            .iter()
            .max_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| b.cmp(a)))
            .map(|(key, profit)| (*key, *profit))?;
        self.profits.remove(&key);
        Some((key, profit))
    }

    /// All of them with their profits, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, f64)> {
        self.profits.iter().map(|(key, profit)| (key, *profit))
    }

    /// Drops an obligation.
    pub fn remove(&mut self, key: &Address) {
        self.profits.remove(key);
    }

    /// Drops those that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&Address) -> bool) {
        self.profits.retain(|key, _| keep(key));
    }

    /// Whether it is queued.
    #[must_use]
    pub fn contains(&self, key: &Address) -> bool {
        self.profits.contains_key(key)
    }

    /// How many are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.profits.len()
    }

    /// Whether none is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_profitable_comes_first_and_each_once() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut queue = Queue::default();
        for (byte, profit) in [(1, 5.0), (2, -1.0), (3, 9.0), (4, 5.0), (5, f64::NAN)] {
            queue.put(&key(byte), profit);
        }
        queue.put(&key(2), 7.0);
        assert_eq!((queue.len(), queue.contains(&key(5))), (4, false));
        queue.put(&key(3), f64::NAN);
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, [(key(2), 7.0), (key(1), 5.0), (key(4), 5.0)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_not_wanted_any_more_is_dropped() {
        let key = |byte| Address::new_from_array([byte; 32]);
        let mut queue = Queue::default();
        (1..=3).for_each(|byte| queue.put(&key(byte), 1.0));
        queue.retain(|at| *at != key(1));
        queue.remove(&key(2));
        assert_eq!(queue.take(), Some((key(3), 1.0)));
        assert_eq!(queue.take(), None);
    }
}
