//! What was there, and by one answer is no more.
//!
//! A node that is behind or sick shows less than there is, and so may an update. Nothing is
//! forgotten until a second answer, that was asked for because of the first and not before
//! it, says the same.

use std::collections::{HashMap, HashSet};

use solana_address::Address;

use crate::feeds::feed::Version;

/// Addresses where something was, and that nothing is there, by one answer.
#[derive(Debug, Default)]
pub struct Missing(HashMap<Address, Version>);

/// What an answer that nothing is there means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the first, or older than the first: somebody else is to be asked.
    AskAgain,
    /// The second answer is waited for, and this one is not it.
    Waiting,
    /// It is gone.
    Gone,
}

impl Missing {
    /// Something is there.
    pub fn seen(&mut self, key: &Address) {
        self.0.remove(key);
    }

    /// Something is at each of these.
    pub fn all_seen(&mut self, keys: &HashSet<Address>) {
        self.0.retain(|key, _| !keys.contains(key));
    }

    /// An answer that nothing is there; `confirms` if it was asked for, or its scan began,
    /// after the first.
    pub fn nothing(&mut self, key: &Address, at: Version, confirms: bool) -> Verdict {
        match self.0.get(key) {
            Some(_) if !confirms => Verdict::Waiting,
            Some(first) if first.slot <= at.slot => {
                self.0.remove(key);
                Verdict::Gone
            }
            Some(_) => Verdict::AskAgain,
            None => {
                self.0.insert(*key, at);
                Verdict::AskAgain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_answer_that_the_first_led_to_is_believed() {
        let (key, other) = (Address::new_from_array([1; 32]), Address::new_from_array([2; 32]));
        let mut missing = Missing::default();
        let mut nothing =
            |key, slot, confirms| missing.nothing(key, Version::end_of(slot), confirms);
        assert_eq!(nothing(&key, 10, true), Verdict::AskAgain, "the first");
        assert_eq!(nothing(&key, 10, false), Verdict::Waiting, "was under way already");
        assert_eq!(nothing(&other, 12, false), Verdict::AskAgain);
        assert_eq!(nothing(&key, 9, true), Verdict::AskAgain, "of a node that is behind");
        assert_eq!(nothing(&key, 10, true), Verdict::Gone);
        missing.seen(&other);
        let again = missing.nothing(&other, Version::end_of(13), true);
        assert_eq!(again, Verdict::AskAgain, "it was there in between");
        missing.nothing(&key, Version::end_of(13), true);
        missing.all_seen(&HashSet::from([other]));
        let again = [key, other].map(|key| missing.nothing(&key, Version::end_of(14), true));
        assert_eq!(again, [Verdict::Gone, Verdict::AskAgain], "one of them was in a scan");
    }
}
