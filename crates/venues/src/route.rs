//! The best way from one token to another over pools that are at hand.
//!
//! One pool, two pools one after the other, the amount split over two, or two legs through
//! one pool that a single one does not go far enough into: more does not fit a
//! liquidation's transaction. Whether a way fits is the caller's to say, from
//! what [`weigh`] counts; the best that fits wins. Nothing is asked and nothing is
//! read, so a search for the best size can ask for every size it looks at.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use solana_address::Address;

use crate::{Amount, Curve, Quote, Side, SwapLeg, Trade, VenueError};

/// Pools that a split is tried between, and evaluations that it is looked for with.
const SPLIT_POOLS: usize = 4;
const SPLIT_STEPS: u32 = 24;
/// Pools for either half of two hops that are tried with all of the other half.
const HOP_POOLS: usize = 2;

/// Pools that two legs are tried through, and what part of the most that the first one can
/// take it is given, in sixteenths: less, and it lands, too, where the price has moved.
const DEEP_POOLS: usize = 2;
const FIRST_PARTS: [u64; 3] = [12, 15, 16];

/// What part of the proceeds a second leg has to add.
const LEAST_GAIN: u64 = 10_000;

/// A basis point's whole.
const FULL_BPS: u16 = 10_000;

/// One leg of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which of the curves it sells into, by its place in the list.
    pub curve: usize,
    /// What the step before it has sold into the same pool.
    pub after: Option<u64>,
    /// What it sells.
    pub amount: Amount,
    /// What it brings.
    pub quote: Quote,
}

/// A way from one token to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Legs, in order: one; two that share the amount; or, with a token in between, two
    /// that follow each other.
    pub steps: Vec<Step>,
    /// The token in between.
    pub between: Option<Address>,
    /// What all of it brings, raw units.
    pub amount_out: u64,
}

/// Token accounts that a way's legs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The swap authority.
    pub authority: Address,
    /// Its account that is sold from.
    pub input: Side,
    /// The account that is paid.
    pub output: Side,
    /// The swap authority's account of the token in between, where there is one.
    pub between: Option<Side>,
}

impl Plan {
    /// Compute units of all legs.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.steps.iter().fold(0, |sum, step| sum.saturating_add(step.quote.units))
    }

    /// Levels of calls below the caller's.
    #[must_use]
    pub fn depth(&self, curves: &[&dyn Curve]) -> u8 {
        let depths = self.steps.iter().filter_map(|step| curves.get(step.curve));
        depths.map(|curve| curve.depth()).max().unwrap_or(0)
    }

    /// The legs, each of which fails if it brings less than its quote less `tolerance_bps`.
    ///
    /// # Errors
    /// As [`Curve::leg`]; [`VenueError::OtherTokens`] where `ends` lacks the token in
    /// between.
    pub fn legs(
        &self,
        curves: &[&dyn Curve],
        ends: &Ends,
        tolerance_bps: u16,
    ) -> Result<Vec<SwapLeg>, VenueError> {
        let kept = u128::from(FULL_BPS.saturating_sub(tolerance_bps));
        let mut legs = Vec::with_capacity(self.steps.len());
        for (n, step) in self.steps.iter().enumerate() {
            let Some(curve) = curves.get(step.curve) else { continue };
            let further = step.after.map(|sold| curve.after(sold)).transpose()?;
            let curve = further.as_deref().unwrap_or(*curve);
            let between = || {
                ends.between.ok_or(VenueError::OtherTokens {
                    pool: *curve.pool(),
                    sold: *curve.sold(),
                    bought: *curve.bought(),
                })
            };
            let (input, output, token) = match (self.between, n) {
                (None, _) => (ends.input, ends.output, 0),
                (Some(_), 0) => (ends.input, between()?, 0),
                (Some(_), _) => (between()?, ends.output, 1),
            };
            let min_out = u128::from(step.quote.amount_out) * kept / u128::from(FULL_BPS);
            let min_out = u64::try_from(min_out).unwrap_or(u64::MAX);
            let (authority, amount) = (ends.authority, step.amount);
            legs.push(curve.leg(&Trade { authority, input, output, amount, min_out, token })?);
        }
        Ok(legs)
    }
}

/// How an account's key gets into a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It is there anyhow.
    Present,
    /// From a lookup table.
    LookedUp,
    /// In full.
    SpelledOut,
}

/// What legs add to a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes.
    pub bytes: usize,
    /// Accounts that it has to lock beside those it locks anyhow.
    pub accounts: usize,
}

/// Counts what legs add to a transaction in which keys come as `key` says.
pub fn weigh(legs: &[SwapLeg], key: impl Fn(&Address) -> Key) -> Weight {
    /// Counts and offsets around a leg's data.
    const AROUND: usize = 9;
    let mut weight = Weight::default();
    let mut seen = BTreeSet::new();
    for leg in legs {
        // Every account, and the program, is one index.
        weight.bytes += AROUND + leg.data.len() + leg.accounts.len() + 1;
        let keys = leg.accounts.iter().map(|meta| meta.pubkey).chain([leg.program]);
        for address in keys.filter(|address| seen.insert(*address)) {
            let bytes = match key(&address) {
                Key::Present => continue,
                Key::LookedUp => 1,
                Key::SpelledOut => size_of::<Address>(),
            };
            weight.bytes += bytes;
            weight.accounts += 1;
        }
    }
    weight
}

/// The best way to sell `amount` of `sold` for `bought` over at most `most_legs` that
/// `fits`. A second leg has to bring a ten-thousandth more: it costs units and bytes, and
/// is one more that may fail.
pub fn best(
    curves: &[&dyn Curve],
    sold: &Address,
    bought: &Address,
    amount: u64,
    most_legs: usize,
    mut fits: impl FnMut(&Plan) -> bool,
) -> Option<Plan> {
    let mut find = |mut plans: Vec<Plan>| {
        plans.sort_by_key(|plan| Reverse(plan.amount_out));
        plans.into_iter().find(|plan| plan.amount_out > 0 && fits(plan))
    };
    let one = find(single(curves, sold, bought, amount));
    if most_legs < 2 {
        return one;
    }
    let mut plans = split(curves, sold, bought, amount);
    plans.extend(through_one(curves, sold, bought, amount));
    plans.extend(two_hops(curves, sold, bought, amount));
    let two = find(plans);
    match (one, two) {
        (Some(one), Some(two)) => {
            let least = one.amount_out.saturating_add(one.amount_out / LEAST_GAIN);
            Some(if two.amount_out > least { two } else { one })
        }
        (one, two) => one.or(two),
    }
}

/// Curves from one token to another, by their places.
fn between<'a>(
    curves: &'a [&dyn Curve],
    sold: &'a Address,
    bought: &'a Address,
) -> impl Iterator<Item = (usize, &'a dyn Curve)> {
    let pair = move |curve: &&dyn Curve| curve.sold() == sold && curve.bought() == bought;
    curves.iter().enumerate().filter(move |(_, curve)| pair(curve)).map(|(n, curve)| (n, *curve))
}

fn single(curves: &[&dyn Curve], sold: &Address, bought: &Address, amount: u64) -> Vec<Plan> {
    between(curves, sold, bought)
        .filter_map(|(curve, pays)| {
            let quote = pays.quote(amount).ok()?;
            let steps = vec![Step { curve, after: None, amount: Amount::All(amount), quote }];
            Some(Plan { steps, between: None, amount_out: quote.amount_out })
        })
        .collect()
}

/// The most that a curve takes of `amount`.
fn most(curve: &dyn Curve, amount: u64) -> u64 {
    match curve.quote(amount) {
        Err(VenueError::TooMuch { most, .. } | VenueError::Beyond { most, .. }) => most.min(amount),
        _ => amount,
    }
}

fn split(curves: &[&dyn Curve], sold: &Address, bought: &Address, amount: u64) -> Vec<Plan> {
    let paid =
        |curve: &dyn Curve, amount: u64| curve.quote(amount).map_or(0, |quote| quote.amount_out);
    let mut ranked: Vec<(u64, usize, &dyn Curve)> = between(curves, sold, bought)
        .map(|(n, curve)| (paid(curve, most(curve, amount / 2)), n, curve))
        .filter(|(paid, ..)| *paid > 0)
        .collect();
    ranked.sort_by_key(|(paid, ..)| Reverse(*paid));
    ranked.truncate(SPLIT_POOLS);
    let mut plans = Vec::new();
    for (n, (_, a, first)) in ranked.iter().enumerate() {
        for (_, b, second) in &ranked[n + 1..] {
            if first.pool() == second.pool() {
                continue;
            }
            // Both pay less and less for more, so their sum has one summit.
            let (mut low, mut high) =
                (amount.saturating_sub(most(*second, amount)), most(*first, amount));
            if low > high {
                continue;
            }
            let sum = |part: u64| paid(*first, part).saturating_add(paid(*second, amount - part));
            for _ in 0..SPLIT_STEPS {
                if high - low < 3 {
                    break;
                }
                let third = (high - low) / 3;
                let (left, right) = (low + third, high - third);
                if sum(left) < sum(right) { low = left } else { high = right }
            }
            let part = low.midpoint(high);
            let (Ok(one), Ok(other)) = (first.quote(part), second.quote(amount - part)) else {
                continue;
            };
            plans.push(in_parts([(*a, part, one), (*b, amount - part, other)], None));
        }
    }
    plans
}

/// Two legs that share an amount; the second sells all that is left. `after` says what the
/// first has sold into the pool of both.
fn in_parts(parts: [(usize, u64, Quote); 2], after: Option<u64>) -> Plan {
    let [(first, part, one), (second, rest, other)] = parts;
    let steps = vec![
        Step { curve: first, after: None, amount: Amount::Exactly(part), quote: one },
        Step { curve: second, after, amount: Amount::All(rest), quote: other },
    ];
    let amount_out = one.amount_out.saturating_add(other.amount_out);
    Plan { steps, between: None, amount_out }
}

/// Two legs through one pool, where one does not go far enough.
fn through_one(curves: &[&dyn Curve], sold: &Address, bought: &Address, amount: u64) -> Vec<Plan> {
    // Those that take most of it.
    let mut deep: Vec<(u64, usize, &dyn Curve)> = between(curves, sold, bought)
        .map(|(n, curve)| (most(curve, amount), n, curve))
        .filter(|(most, ..)| *most < amount)
        .collect();
    deep.sort_by_key(|(most, ..)| Reverse(*most));
    deep.truncate(DEEP_POOLS);
    let plan = |(most, n, curve): (u64, usize, &dyn Curve)| {
        FIRST_PARTS.iter().find_map(|sixteenths| {
            let part = u64::try_from(u128::from(most) * u128::from(*sixteenths) / 16).ok()?;
            let one = curve.quote(part).ok()?;
            let rest = amount - part;
            let other = curve.after(part).ok()?.quote(rest).ok()?;
            Some(in_parts([(n, part, one), (n, rest, other)], Some(part)))
        })
    };
    deep.into_iter().filter_map(plan).collect()
}

fn two_hops(curves: &[&dyn Curve], sold: &Address, bought: &Address, amount: u64) -> Vec<Plan> {
    // The best first halves by the token they lead to.
    let mut halves: BTreeMap<&Address, Vec<Step>> = BTreeMap::new();
    for (curve, pays) in curves.iter().enumerate() {
        if pays.sold() == sold
            && pays.bought() != bought
            && let Ok(quote) = pays.quote(amount)
        {
            let step = Step { curve, after: None, amount: Amount::All(amount), quote };
            halves.entry(pays.bought()).or_default().push(step);
        }
    }
    let mut plans = Vec::new();
    for (token, mut first) in halves {
        first.sort_by_key(|step| Reverse(step.quote.amount_out));
        first.truncate(HOP_POOLS);
        for half in first {
            let amount = half.quote.amount_out;
            let mut second = single(curves, token, bought, amount);
            second.sort_by_key(|plan| Reverse(plan.amount_out));
            second.truncate(HOP_POOLS);
            plans.extend(second.into_iter().map(|mut plan| {
                plan.steps.insert(0, half);
                plan.between = Some(*token);
                plan
            }));
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    /// A constant product without a fee, which takes at most `most` with one leg.
    #[derive(Debug)]
    struct Product {
        pool: Address,
        tokens: [Address; 2],
        reserves: (u64, u64),
        most: u64,
    }

    impl Curve for Product {
        fn direction(&self) -> Direction<'_> {
            Direction { pool: &self.pool, name: "product", mints: &self.tokens, sells_first: true }
        }

        fn quote(&self, amount: u64) -> Result<Quote, VenueError> {
            let (pool, most) = (self.pool, self.most);
            if amount > most {
                return Err(VenueError::TooMuch { pool, amount, most });
            }
            let (x, y) = (u128::from(self.reserves.0), u128::from(self.reserves.1));
            let paid = y * u128::from(amount) / (x + u128::from(amount));
            Ok(Quote { amount_out: paid as u64, crossed: 0, steps: 1, units: 10 })
        }

        fn after(&self, sold: u64) -> Result<Box<dyn Curve>, VenueError> {
            let paid = self.quote(sold)?.amount_out;
            let reserves = (self.reserves.0 + sold, self.reserves.1 - paid);
            let (pool, tokens, most) = (self.pool, self.tokens, self.most);
            Ok(Box::new(Self { pool, tokens, reserves, most }))
        }

        fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError> {
            crate::check_trade(&self.pool, (self.sold(), self.bought()), trade)?;
            let reserve = self.reserves.0.to_le_bytes();
            Ok(trade.leg(self.pool, Vec::new(), &[&[7][..], &reserve].concat()))
        }
    }

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn product(pool: u8, tokens: (u8, u8), x: u64, y: u64) -> Product {
        let tokens = [key(tokens.0), key(tokens.1)];
        Product { pool: key(pool), tokens, reserves: (x, y), most: u64::MAX }
    }

    fn find(pools: &[Product], amount: u64) -> Option<Plan> {
        let curves: Vec<&dyn Curve> = pools.iter().map(|pool| pool as &dyn Curve).collect();
        best(&curves, &key(1), &key(2), amount, 2, |_| true)
    }

    #[test]
    fn one_pool_is_enough_for_a_little() {
        let pools = [product(10, (1, 2), 1_000, 1_000), product(11, (1, 2), 1_000, 1_100)];
        let plan = find(&pools, 1).unwrap_or_else(|| panic!());
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].curve, 1);
        assert_eq!(find(&pools[..0], 1), None);
    }

    /// Two equal pools share an amount evenly; of unequal ones each takes its share.
    #[test]
    fn a_large_amount_is_split() {
        for (x, share) in [(1_000_000_000u64, 2u64), (3_000_000_000, 4)] {
            let pools =
                [product(10, (1, 2), 1_000_000_000, 1_000_000_000), product(11, (1, 2), x, x)];
            let plan = find(&pools, 400_000_000).unwrap();
            let parts: Vec<u64> = plan.steps.iter().map(|step| step.amount.expected()).collect();
            let small = *parts.iter().min().unwrap();
            assert!(small.abs_diff(400_000_000 / share) < 2_000_000, "{plan:?}");
            assert_eq!(parts.iter().sum::<u64>(), 400_000_000);
            // As one pool with the reserves of both pays, but for roundings.
            let both = product(12, (1, 2), 1_000_000_000 + x, 1_000_000_000 + x);
            let most = both.quote(400_000_000).unwrap().amount_out;
            assert!(most - plan.amount_out < 1_000, "{} of {most}", plan.amount_out);
            assert!(matches!(plan.steps[0].amount, Amount::Exactly(_)));
            assert!(matches!(plan.steps[1].amount, Amount::All(_)));
        }
    }

    /// Two deep pools would pay a little more than one: not enough for a second leg.
    #[test]
    fn a_second_leg_has_to_pay_for_itself() {
        let deep = 1_000_000_000_000;
        let pools = [product(10, (1, 2), deep, deep), product(11, (1, 2), deep, deep)];
        assert_eq!(find(&pools, 50_000_000).unwrap().steps.len(), 1);
        assert_eq!(find(&pools, 50_000_000_000).unwrap().steps.len(), 2);
    }

    #[test]
    fn pools_that_cannot_take_it_alone_take_it_together() {
        let mut pools =
            [product(10, (1, 2), 1_000_000, 1_000_000), product(11, (1, 2), 1_000_000, 1_000_000)];
        pools[0].most = 300;
        pools[1].most = 800;
        for amount in [801, 1_000, 1_100] {
            let plan = find(&pools, amount).unwrap_or_else(|| panic!("{amount}"));
            assert_eq!(plan.steps.len(), 2, "{amount}");
        }
    }

    /// What one leg does not reach, a second one through the same pool does, from where the
    /// first has left the price.
    #[test]
    fn a_pool_is_gone_into_twice_where_one_leg_does_not_reach() {
        let mut pools = [product(10, (1, 2), 1_000_000, 1_000_000)];
        let deep = pools[0].quote(1_500).unwrap().amount_out;
        pools[0].most = 800;
        assert_eq!(find(&pools, 800).unwrap().steps.len(), 1);
        let plan = find(&pools, 1_500).unwrap();
        assert!(deep - plan.amount_out <= 1, "{plan:?}");
        assert_eq!(plan.steps[0].amount, Amount::Exactly(750));
        assert_eq!((plan.steps[1].amount, plan.steps[1].after), (Amount::All(750), Some(750)));
        let curves: Vec<&dyn Curve> = pools.iter().map(|pool| pool as &dyn Curve).collect();
        let side =
            |mint: u8| Side { account: key(100 + mint), mint: key(mint), token_program: key(9) };
        let ends = Ends { authority: key(8), input: side(1), output: side(2), between: None };
        let legs = plan.legs(&curves, &ends, 100).unwrap();
        let reserve = |n: usize| u64::from_le_bytes(legs[n].data[1..9].try_into().unwrap());
        assert_eq!([0, 1].map(reserve), [1_000_000, 1_000_750]);
        assert_eq!(legs.iter().map(|leg| leg.input).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(
            legs.iter().map(|leg| leg.amount_in_offset).collect::<Vec<_>>(),
            [None, Some(9)]
        );
        // Two legs reach twice as far, and no further.
        assert_eq!(find(&pools, 1_600).unwrap().steps.len(), 2);
        assert_eq!(find(&pools, 1_601), None);
    }

    #[test]
    fn a_way_over_another_token_is_found_and_built() {
        let pools = [
            product(10, (1, 2), 1_000_000, 500_000),
            product(11, (1, 3), 1_000_000_000, 2_000_000_000),
            product(12, (3, 2), 2_000_000_000, 1_000_000_000),
        ];
        let plan = find(&pools, 10_000).unwrap();
        assert_eq!((plan.between, plan.steps.len()), (Some(key(3)), 2));
        assert_eq!(plan.units(), 20);
        let curves: Vec<&dyn Curve> = pools.iter().map(|pool| pool as &dyn Curve).collect();
        let side =
            |mint: u8| Side { account: key(100 + mint), mint: key(mint), token_program: key(9) };
        let mut ends =
            Ends { authority: key(8), input: side(1), output: side(2), between: Some(side(3)) };
        let legs = plan.legs(&curves, &ends, 100).unwrap();
        assert_eq!(legs.iter().map(|leg| leg.input).collect::<Vec<_>>(), [0, 1]);
        let least = |n: usize| u64::from_le_bytes(legs[n].data[17..25].try_into().unwrap());
        for n in 0..2 {
            assert_eq!(least(n), plan.steps[n].quote.amount_out * 99 / 100);
        }
        ends.between = None;
        assert!(matches!(plan.legs(&curves, &ends, 0), Err(VenueError::OtherTokens { .. })));
        // What does not fit gives way to the next best.
        let plan = best(&curves, &key(1), &key(2), 10_000, 2, |plan| plan.steps.len() < 2).unwrap();
        assert_eq!(plan.steps[0].curve, 0);
        let plan = best(&curves, &key(1), &key(2), 10_000, 1, |_| true).unwrap();
        assert_eq!(plan.steps[0].curve, 0);
    }

    #[test]
    fn keys_are_weighed_once() {
        let leg = |program: u8| SwapLeg {
            program: key(program),
            accounts: vec![solana_instruction::AccountMeta::new(key(50), false)],
            input: 0,
            amount_in_offset: None,
            data: vec![0; 20],
        };
        let key_of = |address: &Address| match address.as_ref()[0] {
            50 => Key::SpelledOut,
            60 => Key::LookedUp,
            _ => Key::Present,
        };
        let weight = weigh(&[leg(60), leg(60), leg(61)], key_of);
        assert_eq!(weight, Weight { bytes: 3 * (9 + 20 + 2) + 32 + 1, accounts: 2 });
    }
}
