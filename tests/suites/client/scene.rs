//! A keeper, its market, and an obligation that has become unhealthy.

use flash_liquidator_client::{
    budget::Format,
    decode::{self, Event},
    flash_liquidation::{Compiled, FlashLiquidation},
    klend::PositionAddresses,
    order::{Limits, Order},
    receiver::{Liquidated, Route},
    swap::stand_in,
    units,
};
use flash_liquidator_tests::Invariants;
use klend_fork::{ForkError, Outcome, Pool, Position, Programs, World};
use klend_model::{
    flash::Lenders,
    keys::address,
    liquidation::Request,
    search::{Best, Funding, Leftovers, best_liquidation},
    table::ReserveTable,
    time::Clock,
    version::KlendVersion,
};
use solana_address::Address;
use solana_keypair::Keypair;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

/// The klend that runs.
pub fn klend_version() -> KlendVersion {
    Programs::klend_version().unwrap()
}

/// Depth of the pools that collateral is sold in, USD.
pub const DEEP: u64 = 100_000_000;

/// See the module.
pub struct Scene {
    pub world: World,
    pub keeper: Keypair,
    pub obligation: Address,
}

impl Scene {
    /// A thousand SOL for 110,000 USDC, and SOL a fifth cheaper than it was; with the
    /// reserves of both.
    pub fn fallen() -> (Self, Address, Address) {
        let mut world = World::builtin().unwrap();
        world.restamp_prices().unwrap();
        let (sol, usdc) =
            (world.reserve_named("SOL").unwrap(), world.reserve_named("USDC").unwrap());
        let borrower = world.actor("borrower");
        let (deposits, borrows) = ([(sol, 1_000_000_000_000)], [(usdc, 110_000_000_000)]);
        let position = Position::new(&deposits, &borrows);
        let obligation = world.open_position(&borrower, &position).unwrap();
        let price = world.price(&sol).unwrap();
        world.set_price(&sol, price.scaled(80, 100).unwrap()).unwrap();
        world.refresh(&obligation).unwrap();
        let keeper = world.actor("keeper");
        (Self { world, keeper, obligation }, sol, usdc)
    }

    /// The addresses of everything, read from accounts; all reserves of all
    /// markets may lend.
    pub fn position(&self) -> PositionAddresses {
        let obligation = self.world.obligation(&self.obligation).unwrap();
        let market = self.world.lending_market(address(&obligation.lending_market)).unwrap();
        let reserves = self.world.reserves().unwrap();
        let reserves: Vec<_> = reserves.iter().map(|(key, reserve)| (*key, reserve)).collect();
        PositionAddresses::read((&self.obligation, &obligation), &market, &reserves).unwrap()
    }

    /// What klend will do with `request`, or with the most profitable one for
    /// pools of the swap stand-in.
    pub fn best(&self, pools: &[Pool]) -> Best {
        let obligation = self.world.obligation(&self.obligation).unwrap();
        let market_key = *address(&obligation.lending_market);
        let market = self.world.lending_market(&market_key).unwrap();
        let reserves = self.world.reserves().unwrap();
        let reserves: Vec<_> = reserves
            .iter()
            .filter(|(_, reserve)| *address(&reserve.lending_market) == market_key)
            .map(|(key, reserve)| (*key, reserve))
            .collect();
        let clock = Clock {
            slot: self.world.slot(),
            unix_timestamp: u64::try_from(self.world.unix_timestamp()).unwrap(),
        };
        let table =
            ReserveTable::refresh(klend_version(), &market_key, &market, &reserves, clock, None);
        let state = table.obligation(&self.obligation, &obligation).unwrap();
        let lenders = Lenders::new([&table]);
        let funding = Funding::Flash { lenders: &lenders, margin_bps: 10, max_fee_bps: 10 };
        best_liquidation(&table, &state, funding, Leftovers::Reject, |from, to, amount| {
            let pool = pools.iter().find(|pool| {
                pool.mints == [*from.mint(), *to.mint()] || pool.mints == [*to.mint(), *from.mint()]
            })?;
            let sold = usize::from(pool.mints[0] != *from.mint());
            let balance = |side: usize| self.world.balance(&pool.vaults[side]).ok();
            let data = self.world.account(&pool.pool)?.data;
            stand_in::amount_out(
                amount,
                balance(sold)?,
                balance(1 - sold)?,
                stand_in::fee_bps(&data)?,
            )
        })
        .unwrap()
        .expect("a liquidation that can be funded and sold")
    }

    /// A route through one pool that pays the keeper's debt account.
    pub fn route(&self, position: &PositionAddresses, order: &Order, pool: &Pool) -> Route {
        let keeper = self.keeper.pubkey();
        let withdraw = position.reserve(&order.withdraw_reserve).unwrap();
        let repay = position.reserve(&order.repay_reserve).unwrap();
        let mut route = Route::new(&keeper, withdraw, repay);
        let debt = order.liquidation(position, &keeper, None).unwrap().keeper_accounts.debt;
        let (mint, account) = (&withdraw.liquidity_mint, &route.swap_collateral);
        route.legs = vec![pool.leg(&keeper, 0, mint, account, &debt, 0).unwrap()];
        route.swap_debt = None;
        route
    }

    /// Adds what does not exist, and compiles with a table of all there is to look
    /// up (v0), or without (v1).
    pub fn compile(
        &mut self,
        liquidation: &mut FlashLiquidation<'_>,
        format: Option<Format>,
    ) -> Compiled {
        let world = &self.world;
        liquidation.create_missing(|key| world.account(key).is_some()).unwrap();
        let addresses = liquidation.lookup_candidates().unwrap();
        let table = self.world.create_lookup_table(&addresses).unwrap();
        self.compile_with(liquidation, format, &[table])
    }

    /// Compiles with these tables.
    pub fn compile_with(
        &mut self,
        liquidation: &FlashLiquidation<'_>,
        format: Option<Format>,
        tables: &[AddressLookupTableAccount],
    ) -> Compiled {
        let blockhash = self.world.svm().latest_blockhash();
        liquidation.compile(tables, blockhash, format).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Signs as the keeper and sends; checks the invariants.
    pub fn send(&mut self, compiled: &Compiled) -> Result<Outcome, ForkError> {
        self.send_spending(compiled, 0)
    }

    /// The same, where the keeper pays `lamports` besides the fee and the rent of token
    /// accounts.
    pub fn send_spending(
        &mut self,
        compiled: &Compiled,
        lamports: u64,
    ) -> Result<Outcome, ForkError> {
        let transaction =
            VersionedTransaction::try_new(compiled.message.clone(), &[&self.keeper]).unwrap();
        let before = Invariants::note(&self.world, &self.keeper.pubkey()).may_spend(lamports);
        let sent = self.world.send_transaction(transaction);
        before.check(&self.world, &sent);
        sent
    }
}

/// Every instruction used as many compute units as its estimate says.
pub fn assert_estimates_hold(compiled: &Compiled, outcome: &Outcome) {
    let mut wrong = Vec::new();
    for (instruction, cost) in compiled.instructions.iter().zip(&outcome.instructions) {
        let estimate = units::estimate(instruction);
        // Builtin programs log none.
        let Some(used) = cost.units else { continue };
        let first = instruction.data.first_chunk::<8>();
        println!("  {} {first:?}: {used}, estimated {estimate}", cost.program);
        if !(u64::from(estimate.at_least)..=u64::from(estimate.at_most)).contains(&used) {
            wrong.push((cost.program, first, used, estimate));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The one event of a liquidation.
pub fn event(outcome: &Outcome) -> Liquidated {
    let decoded =
        decode::decode(&decode::Executed { error: None, logs: &outcome.logs, programs: &[] }, None);
    match &decoded.events[..] {
        [Event::Liquidated(event)] => (**event).clone(),
        other => panic!("{other:?}"),
    }
}

/// An order for all klend allows of one pair.
pub fn order(scene: &Scene, repay: &Address, withdraw: &Address, limits: &Limits) -> Order {
    let obligation = scene.world.obligation(&scene.obligation).unwrap();
    let market_key = *address(&obligation.lending_market);
    let market = scene.world.lending_market(&market_key).unwrap();
    let reserves = scene.world.reserves().unwrap();
    let reserves: Vec<_> = reserves.iter().map(|(key, reserve)| (*key, reserve)).collect();
    let request = Request {
        repay_reserve: *repay,
        withdraw_reserve: *withdraw,
        amount: u64::MAX,
        min_received: 0,
        flash_loan: None,
    };
    let quote = klend_model::liquidation::quote_liquidation(
        klend_version(),
        &klend_model::liquidation::Position {
            market: (market_key, &market),
            reserves: &reserves,
            obligation: (scene.obligation, &obligation),
        },
        &request,
        Clock {
            slot: scene.world.slot(),
            unix_timestamp: u64::try_from(scene.world.unix_timestamp()).unwrap(),
        },
        None,
    )
    .unwrap();
    Order::new(&request, &quote, repay, limits)
}
