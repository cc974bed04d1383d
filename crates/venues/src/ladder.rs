//! A pool's price as a ladder of steps, each of which takes a known amount.
//!
//! Where liquidity is laid out over prices, a swap goes from step to step (tick to
//! tick, fee level to fee level, bin to bin), and what a step takes and pays when it is
//! passed as a whole does not depend on the amount that is sold. So the sums can be
//! made once; a quote finds its step by bisection and computes that one alone.

use solana_address::Address;

use crate::error::VenueError;

/// What happens within one step.
pub(crate) trait Step {
    /// What it pays for `amount`, which is less than passes it; `None` where the
    /// program's arithmetic overflows.
    fn part(&self, amount: u64) -> Option<u64>;
}

/// What passing a step as a whole takes and pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Least input that passes it. Mostly what it takes; `None` if no input does.
    pub needs: Option<u64>,
    /// What it takes.
    pub takes: u64,
    /// What it pays.
    pub pays: u64,
}

#[derive(Clone, Debug)]
struct Rung<S> {
    step: S,
    /// Input that passes this rung, counted from the start.
    passed_with: u128,
    before: Sums,
}

/// What all steps so far take and pay, and where they lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    taken: u128,
    paid: u128,
    /// Ticks or bins crossed.
    pub crossed: u32,
    /// The last array that was needed, by its place in the order of the swap.
    pub array: u32,
}

/// Where a swap ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Paid, raw units.
    pub paid: u64,
    /// Ticks or bins crossed.
    pub crossed: u32,
    /// The last array that was needed.
    pub array: u32,
    /// Steps taken, that in which it ends included.
    pub steps: u32,
}

/// Why a ladder has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEnd {
    /// The amount goes beyond its last step, which this much reaches.
    Beyond(u64),
    /// The program's arithmetic overflows.
    Overflow,
}

impl NoEnd {
    /// What it means for `amount` sold in `pool`, where `unread` is what would have to be
    /// read to know what follows the last step.
    pub fn of(
        self,
        pool: Address,
        amount: u64,
        unread: Option<(Address, &'static str)>,
    ) -> VenueError {
        match (self, unread) {
            (Self::Overflow, _) => VenueError::Overflow { pool, what: "the amount" },
            (Self::Beyond(most), None) => VenueError::TooMuch { pool, amount, most },
            (Self::Beyond(most), Some((account, what))) => {
                VenueError::Beyond { pool, amount, most, account, what }
            }
        }
    }
}

/// Steps in the order in which a swap takes them.
#[derive(Clone, Debug)]
pub(crate) struct Ladder<S> {
    rungs: Vec<Rung<S>>,
    sums: Sums,
    passed_with: u128,
}

impl<S> Default for Ladder<S> {
    fn default() -> Self {
        Self { rungs: Vec::new(), sums: Sums::default(), passed_with: 0 }
    }
}

impl<S: Step> Ladder<S> {
    /// Steps that one ladder holds: far more than fit a transaction's compute units.
    pub const MOST: usize = 4096;

    /// Whether it has as many steps as it may have, or one that nothing passes.
    pub fn is_full(&self) -> bool {
        self.rungs.len() >= Self::MOST || self.passed_with > u128::from(u64::MAX)
    }

    /// Adds a step.
    pub fn push(&mut self, step: S, whole: Whole) {
        let needs = whole.needs.map_or(u128::MAX, |needs| self.sums.taken + u128::from(needs));
        self.passed_with = self.passed_with.max(needs);
        self.rungs.push(Rung { step, passed_with: self.passed_with, before: self.sums });
        self.sums.taken += u128::from(whole.takes);
        self.sums.paid += u128::from(whole.pays);
    }

    /// What follows lies behind one more tick.
    pub fn cross(&mut self) {
        self.sums.crossed += 1;
    }

    /// What follows needs the array at this place.
    pub fn enter(&mut self, array: u32) {
        self.sums.array = array;
    }

    /// The step within which `amount` ends, and how much of it falls to that step; `None`
    /// where it ends between two.
    pub fn within(&self, amount: u64) -> Option<(&S, u64)> {
        let wanted = u128::from(amount);
        let passed = self.rungs.partition_point(|rung| rung.passed_with <= wanted);
        let rung = self.rungs.get(passed)?;
        let left = wanted.checked_sub(rung.before.taken).filter(|left| *left > 0)?;
        Some((&rung.step, u64::try_from(left).ok()?))
    }

    /// Where `amount` leads.
    pub fn sell(&self, amount: u64) -> Result<End, NoEnd> {
        let wanted = u128::from(amount);
        let mut passed = self.rungs.partition_point(|rung| rung.passed_with <= wanted);
        let before = |n: usize| self.rungs.get(n).map_or(self.sums, |rung| rung.before);
        // A swap ends where nothing is left, before steps that take nothing.
        while passed > 0 && before(passed - 1).taken == wanted {
            passed -= 1;
        }
        let start = before(passed);
        let end = |paid: u128| {
            let paid = u64::try_from(paid).map_err(|_| NoEnd::Overflow)?;
            let (crossed, array) = (start.crossed, start.array);
            Ok(End { paid, crossed, array, steps: passed as u32 + 1 })
        };
        let Some(left) = wanted.checked_sub(start.taken).filter(|left| *left > 0) else {
            return end(start.paid);
        };
        let Some(rung) = self.rungs.get(passed) else {
            return Err(NoEnd::Beyond(u64::try_from(start.taken).unwrap_or(u64::MAX)));
        };
        let part = rung.step.part(u64::try_from(left).map_err(|_| NoEnd::Overflow)?);
        end(start.paid + u128::from(part.ok_or(NoEnd::Overflow)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pays half of what it is given.
    #[derive(Clone, Debug)]
    struct Half;

    impl Step for Half {
        fn part(&self, amount: u64) -> Option<u64> {
            Some(amount / 2)
        }
    }

    fn whole(takes: u64, pays: u64) -> Whole {
        Whole { needs: Some(takes), takes, pays }
    }

    #[test]
    fn an_amount_ends_in_its_step() {
        let mut ladder = Ladder::default();
        ladder.push(Half, whole(100, 50));
        ladder.cross();
        ladder.push(Half, whole(0, 0));
        ladder.cross();
        ladder.enter(1);
        ladder.push(Half, whole(10, 5));
        let end = |paid, crossed, array, steps| Ok(End { paid, crossed, array, steps });
        assert_eq!(ladder.sell(0), end(0, 0, 0, 1));
        assert_eq!(ladder.sell(99), end(49, 0, 0, 1));
        assert_eq!(ladder.sell(100), end(50, 1, 0, 2));
        assert_eq!(ladder.sell(101), end(50, 2, 1, 3));
        assert_eq!(ladder.sell(110), end(55, 2, 1, 4));
        assert_eq!(ladder.sell(111), Err(NoEnd::Beyond(110)));
        let within = |amount| ladder.within(amount).map(|(_, left)| left);
        assert_eq!([0, 99, 100, 101, 110].map(within), [None, Some(99), None, Some(1), None]);
    }

    #[test]
    fn a_step_may_need_more_than_it_takes() {
        let mut ladder = Ladder::default();
        ladder.push(Half, Whole { needs: Some(110), takes: 100, pays: 50 });
        ladder.push(Half, whole(0, 0));
        ladder.push(Half, whole(50, 20));
        assert_eq!(ladder.sell(109).unwrap().paid, 54);
        assert_eq!(ladder.sell(110).unwrap().paid, 50 + 5);
        assert_eq!(ladder.sell(150).unwrap().paid, 50 + 20);
        assert!(!ladder.is_full());
        ladder.push(Half, Whole { needs: None, takes: 0, pays: 0 });
        assert_eq!(ladder.sell(u64::MAX).unwrap().paid, 70 + (u64::MAX - 150) / 2);
        assert!(ladder.is_full());
    }
}
