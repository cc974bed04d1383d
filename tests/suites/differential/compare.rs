//! One case on both sides, number by number.

use std::collections::BTreeMap;
use std::fmt::Debug;

use klend_fork::Programs;
use klend_interface::state::{Obligation, Reserve};
use klend_model::{
    accounts,
    constants::KLEND_PROGRAM_ID,
    errors::Code,
    fields,
    fraction::Fraction,
    keys,
    liquidation::{self, FlashLoan, Quote, Reason, Request},
    obligation::ObligationState,
    refresh,
    refusal::Refusal,
    reserve::ReserveState,
    table::ReserveTable,
    time::Basis,
    verify::{self, Change, Compared, Liquidated, Silent},
    version::KlendVersion,
};
use solana_address::Address;

use crate::{
    machine::{
        Answer, Machine, Of, flash_borrow, flash_repay, liquidate, market_key, obligation_key, of,
        refresh_obligation, refresh_reserve, reserve_key,
    },
    world::{Ask, NOW, ONE, World},
};

/// One difference between program and model.
struct Difference {
    case: String,
    what: String,
    program: String,
    model: String,
    logs: Vec<String>,
}

impl Difference {
    /// Differences of the same kind are shown once. Errors differ in kind by
    /// what both sides said, numbers by their name.
    fn kind(&self) -> String {
        if self.logs.is_empty() {
            return self.what.clone();
        }
        let model = self.model.split(" {").next().unwrap_or_default();
        let error = self.model.split("error: ").nth(1).and_then(|text| text.split(',').next());
        format!("{}: program {}, model {}", self.what, self.program, error.unwrap_or(model))
    }
}

/// Answers that only klend itself is asked for: aborts, and errors whose
/// precedence the stand-in does not copy.
fn beyond_the_stand_in(model: &Refusal) -> bool {
    match model {
        Refusal::Klend(rejection) => matches!(
            rejection.error.lending_error(),
            Some(
                Code::InvalidOracleConfig
                    | Code::PriceNotValid
                    | Code::InvalidTwapConfig
                    | Code::InvalidElevationGroup
                    | Code::CollateralNonLiquidatable
                    | Code::CannotCalculateReferralAmountDueToSlotsMismatch
            )
        ),
        _ => true,
    }
}

/// Many cases on one machine.
pub struct Run<'m> {
    machine: &'m mut Machine,
    /// The version that the machine's klend has.
    version: KlendVersion,
    /// How often each branch was seen.
    coverage: BTreeMap<String, u64>,
    differences: Vec<Difference>,
    case: String,
    begun: u64,
}

impl<'m> Run<'m> {
    pub fn new(machine: &'m mut Machine, version: KlendVersion) -> Self {
        Self {
            machine,
            version,
            coverage: BTreeMap::new(),
            differences: Vec::new(),
            case: String::new(),
            begun: 0,
        }
    }

    /// Names the case that follows; of many, it says now and then how far it is.
    pub fn begin(&mut self, seed: u64, about: String) {
        const TOLD: u64 = 20_000;
        self.begun += 1;
        if self.begun.is_multiple_of(TOLD) {
            eprintln!("{} cases, {} differences", self.begun, self.differences.len());
        }
        self.case = format!("seed {seed}, {about}");
    }

    /// Prints the coverage; fails if anything differed or a branch was never
    /// seen.
    pub fn report(&self, first: u64, cases: u64, branches: &[&str]) {
        println!("{cases} cases, first seed {first}; branches seen:");
        for (branch, count) in &self.coverage {
            println!("{count:>8}  {branch}");
        }
        let mut kinds: BTreeMap<String, Vec<&Difference>> = BTreeMap::new();
        for difference in &self.differences {
            kinds.entry(difference.kind()).or_default().push(difference);
        }
        for (kind, differences) in &kinds {
            let first = differences[0];
            println!("{:>8}  differences in {kind}", differences.len());
            println!("          {}: program {}, model {}", first.case, first.program, first.model);
            for line in first.logs.iter().rev().take(8).rev() {
                println!("          {line}");
            }
        }
        assert!(kinds.is_empty(), "program and model differ");
        let unseen: Vec<_> =
            branches.iter().filter(|branch| !self.coverage.contains_key(**branch)).collect();
        assert!(unseen.is_empty() || cases < 3000, "never seen: {unseen:?}");
    }

    fn saw(&mut self, branch: impl Into<String>) {
        *self.coverage.entry(branch.into()).or_default() += 1;
    }

    fn differ(&mut self, what: &str, program: String, model: String, logs: Vec<String>) {
        let case = self.case.clone();
        self.differences.push(Difference { case, what: what.to_owned(), program, model, logs });
    }

    fn same<T: PartialEq + Debug>(&mut self, what: &str, program: T, model: T) -> bool {
        if program != model {
            self.differ(what, format!("{program:?}"), format!("{model:?}"), Vec::new());
            return false;
        }
        true
    }

    /// Whether the program did, at instruction `at`, what the model says; true
    /// only where both went through.
    fn same_answer<T: Debug>(
        &mut self,
        what: &str,
        at: u8,
        (answer, logs): (Answer, Vec<String>),
        model: &Result<T, Refusal>,
    ) -> bool {
        let refusal = model.as_ref().err();
        if refusal.is_some_and(beyond_the_stand_in) && Programs::klend_is_stand_in() {
            return false;
        }
        let expected = match refusal {
            None => Answer::Done,
            Some(Refusal::Klend(rejection)) => Answer::Error(at, rejection.error.code()),
            Some(_) => Answer::Aborted(at),
        };
        if answer != expected {
            self.differ(what, format!("{answer:?}"), format!("{model:?}"), logs);
            return false;
        }
        match refusal {
            None => return true,
            Some(Refusal::Klend(rejection)) => self.saw(format!("refused: {:?}", rejection.error)),
            Some(Refusal::Abort { .. }) => self.saw("refused: program aborts"),
            // What a newer klend may know, this one aborts on.
            Some(Refusal::Unknowable { .. }) => self.saw("refused: a setting that is not known"),
            Some(other) => panic!("not a refusal of these cases: {other}"),
        }
        false
    }

    /// Only the refresh of a world's first reserve.
    pub fn price(&mut self, world: &World) {
        world.install(self.machine);
        if let Some(state) = self.refresh_reserve(world, 0) {
            self.saw(format!("price status {:06b}", state.price_status));
        }
    }

    /// Refreshes everything, then liquidates.
    pub fn case(&mut self, world: &World, ask: &Ask) {
        world.install(self.machine);
        for index in world.used() {
            if self.refresh_reserve(world, index).is_none() {
                return;
            }
        }
        let reserves: Vec<(Address, &Reserve)> = world
            .used()
            .into_iter()
            .map(|index| (reserve_key(index), &*world.reserves[index]))
            .collect();
        let version = self.version;
        let table = ReserveTable::refresh(
            version,
            &market_key(),
            &world.market,
            &reserves,
            NOW,
            Some(world),
        );
        let state = table.obligation(&obligation_key(), &world.obligation);
        let answer = self.machine.run(&[refresh_obligation(world)]);
        if !self.same_answer("refresh_obligation", 0, answer, &state) {
            return;
        }
        if let Ok(state) = state
            && self.same_obligation(&state)
        {
            self.liquidation(world, ask, &table, &state);
        }
    }

    /// Refreshes a reserve on both sides; `None` where it failed or differed.
    fn refresh_reserve<'w>(&mut self, world: &'w World, index: usize) -> Option<ReserveState<'w>> {
        let (key, account) = (reserve_key(index), &world.reserves[index]);
        let model = refresh::reserve(
            self.version,
            &market_key(),
            &world.market,
            &key,
            account,
            NOW,
            Some(world),
        );
        let answer = self.machine.run(&[refresh_reserve(world, index)]);
        if !self.same_answer("refresh_reserve", 0, answer, &model) {
            return None;
        }
        let model = model.ok()?;
        let account_before = account;
        let data = self.machine.data(&key);
        let account = view_reserve(&data);
        let program = ReserveState::stored(self.version, &key, account).ok()?;
        let mut same = true;
        for (what, program, model) in [
            ("reserve: borrowed", program.borrowed, model.borrowed),
            (
                "reserve: cumulative rate",
                program.cumulative_borrow_rate,
                model.cumulative_borrow_rate,
            ),
            ("reserve: protocol fees", program.protocol_fees, model.protocol_fees),
            ("reserve: referrer fees", program.referrer_fees, model.referrer_fees),
            ("reserve: pending fees", program.pending_referrer_fees, model.pending_referrer_fees),
            (
                "reserve: referral rate",
                program.absolute_referral_rate,
                model.absolute_referral_rate,
            ),
            ("reserve: price", program.market_price, model.market_price),
        ] {
            same &= self.same(what, program, model);
        }
        for (what, program, model) in [
            ("reserve: available", program.available, model.available),
            ("reserve: rewards to come", program.rewards_pot, model.rewards_pot),
            ("reserve: slot", program.slot, model.slot),
            ("reserve: time", program.timestamp.into(), model.timestamp.into()),
            ("reserve: stale", program.stale.into(), model.stale.into()),
            ("reserve: price time", program.price_timestamp, model.price_timestamp),
            ("reserve: price status", program.price_status.into(), model.price_status.into()),
            (
                "reserve: deposit limit crossed",
                program.deposit_limit_crossed_at,
                model.deposit_limit_crossed_at,
            ),
            (
                "reserve: borrow limit crossed",
                program.borrow_limit_crossed_at,
                model.borrow_limit_crossed_at,
            ),
        ] {
            same &= self.same(what, program, model);
        }
        let change = Change { key, before: &**account_before, after: account };
        self.verified(verify::reserve(self.version, &market_key(), &world.market, &change, NOW));
        self.saw_accrual(account_before, &model);
        same.then_some(model)
    }

    /// Counts how a reserve's time was counted and what limited its rewards.
    fn saw_accrual(&mut self, before: &Reserve, after: &ReserveState<'_>) {
        let units = match after.basis {
            Basis::Slots => NOW.slot - before.last_update.slot,
            Basis::Seconds => match u64::from(fields::timestamp(&before.last_update)) {
                0 => return self.saw("interest: seconds, time unknown"),
                ahead if ahead > NOW.unix_timestamp => {
                    return self.saw("interest: seconds, clock went back");
                }
                saved => NOW.unix_timestamp - saved,
            },
        };
        let length = match units {
            0..=4 => units.to_string(),
            _ => "5 or more".to_owned(),
        };
        self.saw(format!("interest: {length} {}", after.basis));
        let pot = before.liquidity.rewards_amount_available;
        let given = pot - after.rewards_pot;
        let by_rate = u128::from(units) * u128::from(before.config.rewards_amount_per_slot);
        if given > 0 {
            self.saw(if given == pot {
                "rewards: the whole pot"
            } else if u128::from(given) == by_rate {
                "rewards: by their rate"
            } else {
                "rewards: by the cap"
            });
        }
    }

    /// Holds the refreshed obligation in the machine against the model's.
    fn same_obligation(&mut self, state: &ObligationState<'_>) -> bool {
        let data = self.machine.data(&obligation_key());
        let program = view_obligation(&data);
        let health = &state.health;
        let mut same = true;
        for (what, program, model) in [
            ("deposited value", program.deposited_value_sf, health.deposited_value),
            ("borrowed value", program.borrowed_assets_market_value_sf, health.borrowed_value),
            (
                "adjusted debt value",
                program.borrow_factor_adjusted_debt_value_sf,
                health.adjusted_debt_value,
            ),
            ("allowed value", program.allowed_borrow_value_sf, health.allowed_borrow_value),
            ("unhealthy value", program.unhealthy_borrow_value_sf, health.unhealthy_borrow_value),
        ] {
            same &= self.same(&format!("obligation: {what}"), program.into(), model);
        }
        for (what, program, model) in [
            (
                "lowest threshold",
                program.lowest_reserve_deposit_liquidation_ltv,
                u64::from(health.lowest_liquidation_threshold_pct),
            ),
            ("highest factor", program.highest_borrow_factor_pct, health.highest_borrow_factor_pct),
            (
                "price status",
                u64::from(program.last_update.price_status),
                u64::from(health.price_status),
            ),
        ] {
            same &= self.same(&format!("obligation: {what}"), program, model);
        }
        for (program, model) in program.deposits.iter().zip(&state.deposits) {
            let value = model.map_or(Fraction::ZERO, |deposit| deposit.market_value);
            same &= self.same("obligation: deposit's value", program.market_value_sf.into(), value);
        }
        for (program, model) in program.borrows.iter().zip(&state.borrows) {
            let (borrowed, value, adjusted, at_expiration) =
                model.map_or((Fraction::ZERO, Fraction::ZERO, Fraction::ZERO, 0), |borrow| {
                    (
                        borrow.borrowed,
                        borrow.market_value,
                        borrow.adjusted_value,
                        borrow.amount_at_expiration,
                    )
                });
            for (what, program, model) in [
                ("amount", program.borrowed_amount_sf, borrowed),
                ("value", program.market_value_sf, value),
                ("adjusted value", program.borrow_factor_adjusted_market_value_sf, adjusted),
            ] {
                same &= self.same(&format!("obligation: debt's {what}"), program.into(), model);
            }
            let program = program.borrowed_amount_at_expiration;
            same &= self.same("obligation: debt at its term's end", program, at_expiration);
        }
        same
    }

    /// Liquidates on both sides and compares every token and every account.
    fn liquidation(
        &mut self,
        world: &World,
        ask: &Ask,
        table: &ReserveTable<'_>,
        state: &ObligationState<'_>,
    ) {
        let mut instructions = Vec::new();
        let mut loan_fee = 0;
        if let Some((index, amount)) = ask.loan {
            // A loan that klend does not give is not this test's business.
            let lender = table.reserve(&reserve_key(index)).expect("a reserve of the obligation");
            let Ok(fee) = lender.flash_fee(amount) else { return };
            if lender.emergency {
                return;
            }
            loan_fee = fee;
            instructions.push(flash_borrow(self.machine, index, amount));
            instructions.push(refresh_reserve(world, index));
            instructions.push(refresh_obligation(world));
        }
        let at = instructions.len() as u8;
        instructions.push(liquidate(world, self.machine, ask));
        if let Some((index, amount)) = ask.loan {
            instructions.push(flash_repay(self.machine, index, amount, 0));
        }
        let watched = [
            of(ask.repay, Of::KeeperTokens),
            of(ask.withdraw, Of::KeeperTokens),
            of(ask.withdraw, Of::KeeperCtokens),
            of(ask.withdraw, Of::Fees),
        ];
        let before = watched.map(|key| self.machine.balance(&key));
        let answer = self.machine.run(&instructions);

        let request = Request {
            repay_reserve: reserve_key(ask.repay),
            withdraw_reserve: reserve_key(ask.withdraw),
            amount: ask.amount,
            min_received: ask.min_received,
            flash_loan: ask
                .loan
                .map(|(index, amount)| FlashLoan { reserve: reserve_key(index), amount }),
        };
        let model = liquidation::quote(table, state, &request);
        if !self.same_answer("liquidate", at, answer, &model) {
            return;
        }
        let Ok(quote) = model else { return };

        let after = watched.map(|key| self.machine.balance(&key));
        let moved = |i: usize| i128::from(after[i]) - i128::from(before[i]);
        let (repay, received) = (i128::from(quote.repay), i128::from(quote.received));
        let lent = |index: usize| {
            ask.loan.filter(|(lender, _)| *lender == index).map_or(0, |(_, amount)| amount)
        };
        let is_lender = |index: usize| ask.loan.is_some_and(|(lender, _)| lender == index);
        let fee = |index: usize| if is_lender(index) { i128::from(loan_fee) } else { 0 };
        if ask.repay == ask.withdraw {
            self.same("tokens moved", moved(0), received - repay - fee(ask.repay));
        } else {
            self.same("repaid", moved(0), -repay - fee(ask.repay));
            self.same("received", moved(1), received - fee(ask.withdraw));
        }
        self.same("cTokens left", moved(2), i128::from(quote.leftover_ctokens));
        let fees = i128::from(quote.protocol_fee) + fee(ask.withdraw);
        self.same("protocol fee", moved(3), fees);

        for (index, expected) in
            [(ask.repay, quote.after.repay_reserve), (ask.withdraw, quote.after.withdraw_reserve)]
        {
            // The quote ends before the flash loan is repaid.
            let repaid = Fraction::from_int(lent(index)).min(expected.borrowed);
            let data = self.machine.data(&reserve_key(index));
            let program = view_reserve(&data);
            let available = program.liquidity.total_available_amount;
            self.same("available after", available, expected.available + lent(index));
            let borrowed = Fraction::from(program.liquidity.borrowed_amount_sf);
            self.same("borrowed after", borrowed, expected.borrowed.saturating_sub(repaid));
            let supply = program.collateral.mint_total_supply;
            self.same("cToken supply after", supply, expected.ctoken_supply);
        }
        let data = self.machine.data(&obligation_key());
        let program = view_obligation(&data);
        let deposit: u64 = program
            .deposits
            .iter()
            .filter(|slot| keys::address(&slot.deposit_reserve) == &request.withdraw_reserve)
            .map(|slot| slot.deposited_amount)
            .sum();
        let debt: u128 = program
            .borrows
            .iter()
            .filter(|slot| keys::address(&slot.borrow_reserve) == &request.repay_reserve)
            .map(|slot| u128::from(slot.borrowed_amount_sf))
            .sum();
        self.same("deposit after", deposit, quote.after.deposit);
        self.same("debt after", debt, quote.after.debt.to_bits());
        self.same("has debt after", program.has_debt, u8::from(quote.after.has_debt));
        self.verify_liquidation(world, &request);
        self.saw_quote(world, ask, table, state, &quote);
    }

    /// What a keeper sees of it has to agree as well, whatever was asked for, and mostly
    /// without knowing what that was.
    fn verify_liquidation(&mut self, world: &World, request: &Request) {
        let seen: Vec<_> = world
            .used()
            .into_iter()
            .map(|index| (index, self.machine.data(&reserve_key(index))))
            .collect();
        let reserves: Vec<_> = seen
            .iter()
            .map(|(index, data)| Change {
                key: reserve_key(*index),
                before: &*world.reserves[*index],
                after: view_reserve(data),
            })
            .collect();
        let data = self.machine.data(&obligation_key());
        let (before, after) = (&*world.obligation, view_obligation(&data));
        let seen = Liquidated {
            market: (market_key(), &world.market),
            reserves: &reserves,
            obligation: Change { key: obligation_key(), before, after },
            clock: NOW,
        };
        self.verified(seen.compare(self.version, request));
        let agrees = |guess: Request| {
            let compared = seen.compare(self.version, &guess);
            compared.is_ok_and(|compared| compared.iter().all(Compared::agrees))
        };
        let guessed = seen.guesses().is_some_and(|guesses| guesses.map(agrees).contains(&true));
        self.saw(if guessed { "verified: guessed" } else { "verified: by the request alone" });
    }

    /// Takes what comparing two states gave.
    fn verified(&mut self, compared: Result<Vec<Compared>, Silent>) {
        match compared {
            Ok(compared) => {
                for one in compared {
                    self.saw(format!("verified: {}", one.rule));
                    let what = format!("verify, {}, {}", one.rule, one.what);
                    self.same(&what, one.chain, one.model);
                }
            }
            Err(Silent::NoRefresh) => {}
            Err(silent) => self.differ("verify", "a change".into(), format!("{silent}"), vec![]),
        }
    }

    /// Counts the branches that a liquidation went through.
    fn saw_quote(
        &mut self,
        world: &World,
        ask: &Ask,
        table: &ReserveTable<'_>,
        state: &ObligationState<'_>,
        quote: &Quote,
    ) {
        let reason = match quote.reason {
            Reason::LtvExceeded => "LTV exceeded".to_owned(),
            Reason::IndividualDeleveraging => "individual deleveraging".to_owned(),
            Reason::MarketWideDeleveraging => "market-wide deleveraging".to_owned(),
            Reason::ReserveDebtMaturityReached => "reserve debt maturity".to_owned(),
            Reason::DebtTermReached { .. } => "debt term".to_owned(),
            Reason::Order { index } => {
                let order = &world.obligation.obligation_orders[usize::from(index)];
                format!("order, condition {}", order.condition_type)
            }
        };
        self.saw(format!("reason: {reason}"));
        self.saw(bonus_branch(world, ask, state, quote));

        let at = |index: usize| {
            let key = reserve_key(index);
            table.reserves().iter().position(|reserve| reserve.key == key)
        };
        let deposit = at(ask.withdraw).and_then(|index| state.deposit(index));
        let debt = at(ask.repay).and_then(|index| state.borrow(index));
        let (Some((_, deposit)), Some((_, debt))) = (deposit, debt) else {
            panic!("{}: a quote about nothing", self.case);
        };
        let size = if quote.must_repay_all { "small debt" } else { "debt" };
        let seized = if quote.seized_ctokens == deposit.ctokens {
            "all collateral"
        } else {
            "part of the collateral"
        };
        let settled = if quote.settled == debt.borrowed { "all debt" } else { "part of the debt" };
        self.saw(format!("seizure: {size}, {seized} for {settled}"));
        let worth =
            debt.market_value.try_mul(quote.bonus.try_add(Fraction::ONE).unwrap_or_default());
        if quote.must_repay_all && worth.is_ok_and(|worth| worth > deposit.market_value) {
            self.saw("seizure: small debt, repaid for collateral worth less");
        }
        let whole = quote.settled.to_bits().is_multiple_of(ONE);
        self.saw(if whole { "repay: whole units" } else { "repay: rounded up" });
        if ask.amount < u64::MAX && quote.repay == ask.amount {
            self.saw("amount: limited by the request");
        }
        let redemption = match (quote.redeemed_ctokens, quote.leftover_ctokens) {
            (0, _) => "none",
            (_, 0) => "full",
            _ => "partial",
        };
        self.saw(format!("redemption: {redemption}"));
        if redemption == "partial" && quote.after.withdraw_reserve.available == 0 {
            self.saw("redemption: to the vault's last unit");
        }
        if let (Some(reserve), "partial", None) =
            (table.reserve(&reserve_key(ask.withdraw)), redemption, ask.loan)
            && ask.repay != ask.withdraw
        {
            // The last cToken is redeemed if its worth, rounded down, is there.
            let whole = reserve.ctokens_of(reserve.available);
            let up = whole.is_ok_and(|whole| quote.redeemed_ctokens > whole);
            self.saw(format!("redemption: last cToken rounded {}", if up { "up" } else { "down" }));
        }
        if quote.redeemed_ctokens > 0 {
            let minimum = quote.protocol_fee == 1;
            self.saw(if minimum {
                "fee: the minimum of one unit"
            } else {
                "fee: a share of the bonus"
            });
        }
        if ask.repay == ask.withdraw {
            self.saw("pair: one reserve");
        }
        if state.deposits.iter().all(Option::is_some) && state.borrows.iter().all(Option::is_some) {
            self.saw("obligation: every slot in use");
        }
        if world.obligation.elevation_group != 0 {
            self.saw("obligation: in an elevation group");
        }
        if let Some((lender, _)) = ask.loan {
            let from = if lender == ask.repay { "repay" } else { "withdraw" };
            self.saw(format!("flash loan: from the {from} reserve"));
        }
    }
}

/// Which of klend's rules gave the bonus.
fn bonus_branch(world: &World, ask: &Ask, state: &ObligationState<'_>, quote: &Quote) -> String {
    let health = &state.health;
    let ratio = |ratio: Result<Fraction, _>| ratio.unwrap_or_default();
    let no_bf_ltv = ratio(health.no_borrow_factor_ltv());
    let headroom = Fraction::ONE.saturating_sub(no_bf_ltv);
    if quote.reason != Reason::LtvExceeded {
        let rule = if quote.bonus == headroom { "capped by headroom" } else { "by rule" };
        return format!("other bonus: {rule}");
    }
    let repay = &world.reserves[ask.repay].config;
    let withdraw = &world.reserves[ask.withdraw].config;
    let least = withdraw.min_liquidation_bonus_bps.max(repay.min_liquidation_bonus_bps);
    let excess = ratio(health.ltv()).saturating_sub(ratio(health.liquidation_ltv()));
    let rule = if no_bf_ltv >= Fraction::ONE {
        "bad debt, insolvent"
    } else if no_bf_ltv >= Fraction::from_percent(99) {
        if quote.bonus == headroom { "bad debt, headroom" } else { "bad debt, configured" }
    } else if quote.bonus == headroom {
        "capped by headroom"
    } else if quote.bonus == excess {
        "excess LTV"
    } else if quote.bonus == Fraction::from_bps(u64::from(least)) {
        "minimum"
    } else {
        "maximum"
    };
    format!("LTV bonus: {rule}")
}

fn view_reserve(data: &[u8]) -> &Reserve {
    accounts::reserve(&reserve_key(0), &KLEND_PROGRAM_ID, data).expect("a reserve")
}

fn view_obligation(data: &[u8]) -> &Obligation {
    accounts::obligation(&obligation_key(), &KLEND_PROGRAM_ID, data).expect("an obligation")
}
