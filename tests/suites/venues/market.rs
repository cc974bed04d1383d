//! A pool with somebody who trades in it, and what it really pays.

use std::{collections::BTreeMap, fmt::Write};

use flash_liquidator_client::decode::{Advice, refusal};
use liquidation_venues::{
    Account, Amount, Curve, Now, Pool, Quote, Side, Trade, VenueError,
    route::{self, Ends},
};
use solana_address::Address;

use crate::chain::{Chain, Dice, leg_with, named};

pub struct Market {
    pub pool: Address,
    pub mints: [Address; 2],
    /// The user's accounts, in the order of the mints.
    pub held: [Address; 2],
    pub programs: [Address; 2],
    /// The largest amount that is tried.
    pub depth: u64,
}

/// Two mints, the lower one first, accounts that hold plenty of them, and their programs:
/// the chain's own pair where it has one, else new ones of `programs`.
pub fn tokens(
    chain: &mut Chain,
    number: u64,
    mut programs: [Address; 2],
) -> ([Address; 2], [Address; 2], [Address; 2]) {
    let mut mints = [named("mint a", number), named("mint b", number)];
    mints.sort_unstable();
    let held = [named("held a", number), named("held b", number)];
    let (user, pair) = (chain.user, chain.pair.clone());
    for n in 0..2 {
        match &pair {
            Some(pair) => {
                (mints[n], programs[n]) = (pair[n].0, pair[n].1.owner);
                chain.svm.set_account(mints[n], pair[n].1.clone()).expect("an account");
            }
            None => chain.mint(mints[n], 6, programs[n]),
        }
        chain.tokens(held[n], &mints[n], &user, 1 << 62);
    }
    (mints, held, programs)
}

/// How often quotes and payments were compared, and with what result.
#[derive(Debug, Default)]
pub struct Tally {
    pub paid: u64,
    pub refused: u64,
    pub crossed: u64,
    pub most_crossed: u32,
    /// The dearest swap in compute units, as `(units, crossed)`.
    pub units: (u64, u32),
    pub least_units: u64,
    /// What the programs answered where the curve refuses.
    pub refusals: BTreeMap<String, u64>,
}

impl Market {
    pub fn read(&self, chain: &mut Chain) -> Box<dyn Pool> {
        let account = chain.svm.get_account(&self.pool).expect("a pool");
        let view = Account { owner: &account.owner, data: &account.data };
        let pool = liquidation_venues::read(&self.pool, view).expect("a pool");
        chain.forget();
        for _ in 0..2 {
            let needed = pool.accounts(chain);
            chain.read(&needed);
        }
        pool
    }

    pub fn trade(&self, chain: &Chain, sells_first: bool, amount: Amount) -> Trade {
        let side = |n: usize| Side {
            account: self.held[n],
            mint: self.mints[n],
            token_program: self.programs[n],
        };
        let (input, output) = (side(usize::from(!sells_first)), side(usize::from(sells_first)));
        Trade { authority: chain.user, input, output, amount, min_out: 0, token: 0 }
    }

    /// Sells a random amount, and holds what arrives against the quote.
    pub fn compare(&self, chain: &mut Chain, dice: &mut Dice, tally: &mut Tally) {
        let sells_first = dice.chance(2);
        let pool = self.read(chain);
        let curve = pool.curve(&self.mints[usize::from(!sells_first)], chain, &chain.now());
        let curve = match curve {
            Ok(curve) => curve,
            Err(VenueError::NoLiquidity { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        let amount = dice.amount(self.depth);
        match curve.quote(amount) {
            Ok(quote) => {
                let before = chain.balance(&self.held[usize::from(sells_first)]);
                let sold = chain.balance(&self.held[usize::from(!sells_first)]);
                let leg =
                    curve.leg(&self.trade(chain, sells_first, Amount::All(amount))).expect("a leg");
                if dice.chance(8) {
                    self.misses_its_minimum(chain, &*curve, sells_first, amount, &quote);
                }
                let units = match chain.run(&leg, amount) {
                    Ok(units) => units,
                    Err(failed) => panic!(
                        "{amount} of {} in {:?}: quoted {quote:?}, but {}\n{}\n{pool:?}",
                        usize::from(!sells_first),
                        self.pool,
                        failed.error,
                        failed.logs.join("\n")
                    ),
                };
                let arrived = chain.balance(&self.held[usize::from(sells_first)]) - before;
                let gone = sold - chain.balance(&self.held[usize::from(!sells_first)]);
                assert_eq!(
                    (arrived, gone),
                    (quote.amount_out, amount),
                    "{amount} of {} in {pool:?}: {quote:?}",
                    usize::from(!sells_first),
                );
                assert!(
                    u64::from(quote.units) >= units,
                    "{units} units, {} expected, {} crossed",
                    quote.units,
                    quote.crossed
                );
                tally.paid += 1;
                tally.crossed += u64::from(quote.crossed);
                tally.most_crossed = tally.most_crossed.max(quote.crossed);
                if units > tally.units.0 {
                    tally.units = (units, quote.crossed);
                }
                if tally.least_units == 0 || units < tally.least_units {
                    tally.least_units = units;
                }
            }
            Err(error) => {
                self.refuses(chain, &*curve, sells_first, amount, error, tally);
                tally.refused += 1;
            }
        }
    }

    /// Sells more than one leg reaches with two legs through the pool, in one transaction,
    /// and holds what arrives against the plan. Whether there was such an amount.
    pub fn goes_in_twice(&self, chain: &mut Chain, dice: &mut Dice) -> bool {
        let sells_first = dice.chance(2);
        let pool = self.read(chain);
        let [sold, bought] =
            [!sells_first, sells_first].map(|second| self.mints[usize::from(second)]);
        let Ok(curve) = pool.curve(&sold, chain, &chain.now()) else { return false };
        let most = match curve.quote(self.depth) {
            Err(VenueError::TooMuch { most, .. } | VenueError::Beyond { most, .. }) => most,
            _ => return false,
        };
        let curves = [&*curve];
        let amount = most.saturating_add(dice.amount(most.max(1)));
        let Some(plan) = route::best(&curves, &sold, &bought, amount, 2, |_| true) else {
            return false;
        };
        let trade = self.trade(chain, sells_first, Amount::All(amount));
        let Trade { authority, input, output, .. } = trade;
        let ends = Ends { authority, input, output, between: None };
        let legs = plan.legs(&curves, &ends, 0).expect("legs");
        assert_eq!(legs.len(), 2);
        let before = [&input, &output].map(|side| chain.balance(&side.account));
        let rest = plan.steps[1].amount.expected();
        let calls = legs.iter().map(|leg| leg_with(leg, rest)).collect::<Vec<_>>();
        match chain.send(&calls) {
            Ok(units) => {
                assert!(u64::from(plan.units()) >= units, "{units} units, {plan:?}");
            }
            // Two that cross so many ticks are no transaction.
            Err(failed) if failed.logs.iter().any(|line| line.contains("exceeded CUs")) => {
                assert!(plan.units() > 1_400_000, "{plan:?}");
                return false;
            }
            Err(failed) => panic!("{amount}: {plan:?}: {}\n{:#?}", failed.error, failed.logs),
        }
        let after = [&input, &output].map(|side| chain.balance(&side.account));
        let (gone, arrived) = (before[0] - after[0], after[1] - before[1]);
        assert_eq!((gone, arrived), (amount, plan.amount_out), "{plan:?} in {pool:?}");
        true
    }

    /// Sells a little with a leg that was built before somebody moved the price just over
    /// the edge of an array. Says which way was sold and which way the price went, as
    /// whether the first token was sold; `None` where no such move was found.
    pub fn lands_over_an_edge(&self, chain: &mut Chain, dice: &mut Dice) -> Option<[bool; 2]> {
        let sells_first = dice.chance(2);
        let mover_sells_first = dice.chance(2);
        let little = |chain: &mut Chain, amount: Option<u64>| {
            let pool = self.read(chain);
            let sold = &self.mints[usize::from(!sells_first)];
            let curve = pool.curve(sold, chain, &chain.now()).ok()?;
            let is_paid = |amount: &u64| curve.quote(*amount).is_ok();
            let amount = amount.or_else(|| (0..40).map(|bits| 1 << bits).find(is_paid))?;
            let trade = self.trade(chain, sells_first, Amount::All(amount));
            is_paid(&amount).then_some(())?;
            Some((amount, curve.leg(&trade).ok()?))
        };
        let (amount, leg) = little(chain, None)?;
        let saved = chain.svm.clone();
        // Whether selling so much moves the price so that the leg would be another one;
        // `None` where that or the sale itself is refused.
        let moves = |chain: &mut Chain, much: u64| {
            chain.svm = saved.clone();
            let pool = self.read(chain);
            let sold = &self.mints[usize::from(!mover_sells_first)];
            let curve = pool.curve(sold, chain, &chain.now()).ok()?;
            let trade = self.trade(chain, mover_sells_first, Amount::All(much));
            let mover = curve.leg(&trade).ok()?;
            chain.run(&mover, much).ok()?;
            let (_, fresh) = little(chain, Some(amount))?;
            Some(fresh.accounts != leg.accounts)
        };
        let much = (10..50).map(|bits| 1 << bits).find(|much| moves(chain, *much) == Some(true));
        let Some(much) = much else {
            chain.svm = saved.clone();
            return None;
        };
        // The least that does, so that one edge is crossed and no second one.
        let (mut low, mut high) = (much / 2, much);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if moves(chain, middle) == Some(true) { high = middle } else { low = middle }
        }
        if moves(chain, low) != Some(false) || moves(chain, high) != Some(true) {
            chain.svm = saved.clone();
            return None;
        }
        if let Err(failed) = chain.run(&leg, amount) {
            panic!(
                "{amount} of {} into {} after {high} of {} had moved it: {}\n{}",
                usize::from(!sells_first),
                self.pool,
                usize::from(!mover_sells_first),
                failed.error,
                failed.logs.join("\n"),
            );
        }
        Some([sells_first, mover_sells_first])
    }

    /// Writes down the pool's accounts, and what is paid in this state for some amounts
    /// in both directions.
    pub fn record(&self, chain: &mut Chain, dice: &mut Dice, out: &mut String) {
        let pool = self.read(chain);
        let now = chain.now();
        let mut quotes = String::new();
        for sells_first in [true, false] {
            let sold = self.mints[usize::from(!sells_first)];
            let Ok(curve) = pool.curve(&sold, chain, &now) else { return };
            for _ in 0..6 {
                let amount = dice.amount(self.depth);
                let trade = self.trade(chain, sells_first, Amount::All(amount));
                let Ok(leg) = curve.leg(&trade) else { continue };
                let held = self.held[usize::from(sells_first)];
                let before = chain.balance(&held);
                let saved = chain.svm.clone();
                let ran = chain.run(&leg, amount).is_ok();
                let paid = chain.balance(&held) - before;
                chain.svm = saved;
                assert_eq!(ran.then_some(paid), curve.quote(amount).ok().map(|q| q.amount_out));
                writeln!(quotes, "sells {sold} {amount} {paid}").expect("a string");
            }
        }
        writeln!(out, "pool {} {} {}", self.pool, now.unix_timestamp, now.slot).expect("a string");
        for key in pool.accounts(chain).into_iter().chain([self.pool]) {
            match chain.svm.get_account(&key) {
                Some(account) => {
                    let data = sparse(&account.data);
                    writeln!(out, "account {key} {} {}{data}", account.owner, account.data.len())
                }
                None => writeln!(out, "absent {key}"),
            }
            .expect("a string");
        }
        out.push_str(&quotes);
    }

    /// That the program refuses what the curve refuses.
    fn refuses(
        &self,
        chain: &mut Chain,
        curve: &dyn Curve,
        sells_first: bool,
        amount: u64,
        error: VenueError,
        tally: &mut Tally,
    ) {
        let expected = match error {
            VenueError::TooMuch { most, .. } | VenueError::Beyond { most, .. } => most.max(1),
            VenueError::TooLittle { .. } | VenueError::Overflow { .. } => self.depth >> 12,
            error => panic!("{amount}: {error}"),
        };
        let Some(leg) = (0..40).find_map(|n| {
            let trade = self.trade(chain, sells_first, Amount::All((expected >> n).max(1)));
            curve.leg(&trade).ok()
        }) else {
            return;
        };
        let Err(failed) = chain.run(&leg, amount) else {
            panic!("{amount} into {}: refused with {error}, but it landed", self.pool);
        };
        let refusal = failed.code.and_then(|code| refusal(&leg.program, code));
        // What goes beyond the arrays that were read does not find them among the leg's.
        let helps: &[Advice] = match error {
            VenueError::TooLittle { .. } => &[Advice::SellMore],
            VenueError::TooMuch { .. } => &[Advice::SellLess],
            VenueError::Beyond { .. } => &[Advice::SellLess, Advice::BuildAnew],
            _ => &[],
        };
        let does = refusal.is_some_and(|refusal| helps.contains(&refusal.advice));
        assert!(helps.is_empty() || does, "{error}, but {}: {refusal:?}", failed.error);
        let name = refusal.map_or(failed.error, |known| known.name.to_owned());
        *tally.refusals.entry(name).or_default() += 1;
    }

    /// That a leg whose minimum is one more than what it brings is refused for that.
    fn misses_its_minimum(
        &self,
        chain: &mut Chain,
        curve: &dyn Curve,
        sells_first: bool,
        amount: u64,
        quote: &Quote,
    ) {
        let trade = self.trade(chain, sells_first, Amount::All(amount));
        let trade = Trade { min_out: quote.amount_out + 1, ..trade };
        let leg = curve.leg(&trade).expect("a leg");
        let failed = chain.run(&leg, amount).expect_err("more than it brings");
        let refusal = failed.code.and_then(|code| refusal(&leg.program, code));
        let advice = refusal.map(|refusal| refusal.advice);
        assert_eq!(advice, Some(Advice::QuoteAgain), "{}: {:#?}", failed.error, failed.logs);
    }

    /// That a sale before the pool opens is refused, by the curve and by the program, which
    /// says so.
    pub fn is_not_open(&self, chain: &mut Chain) {
        let pool = self.read(chain);
        let (sold, now) = (self.mints[0], chain.now());
        let error = pool.curve(&sold, chain, &now).expect_err("not open yet");
        assert!(matches!(error, VenueError::NotOpenYet { .. }), "{error}");
        let later = Now { unix_timestamp: now.unix_timestamp + 1_000, ..now };
        let curve = pool.curve(&sold, chain, &later).expect("a curve");
        let amount = self.depth >> 8;
        let leg = curve.leg(&self.trade(chain, true, Amount::All(amount))).expect("a leg");
        let failed = chain.run(&leg, amount).expect_err("not open yet");
        let refusal = failed.code.and_then(|code| refusal(&leg.program, code));
        let advice = refusal.map(|refusal| refusal.advice);
        assert_eq!(advice, Some(Advice::NotOpen), "{}: {:#?}", failed.error, failed.logs);
    }
}

/// Where bytes other than zero are, and which.
fn sparse(data: &[u8]) -> String {
    /// Zeros that are cheaper to leave out than to write.
    const GAP: usize = 4;
    let mut out = String::new();
    let mut at = 0;
    while let Some(start) = data[at..].iter().position(|byte| *byte != 0).map(|n| at + n) {
        let mut end = start;
        while data[end..].iter().take(GAP).any(|byte| *byte != 0) {
            end += 1;
        }
        let hex: String = data[start..end].iter().map(|byte| format!("{byte:02x}")).collect();
        write!(out, " {start}:{hex}").expect("a string");
        at = end;
    }
    out
}
