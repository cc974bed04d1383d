//! The smallest debt whose liquidation still pays, by route and by what is offered to be
//! included: the smallest that the keeper decides to sign for with no floor on the
//! profit, on the built-in fork with SOL a fifth lower.
//!
//! `cargo bench --profile measure -p klend-flash-keeper --bench pays` prints a table,
//! `-- --json` JSON. Every row is executed in the local machine: what was quoted arrives.
//! It needs the programs to be built (`cargo xtask build`).

mod support;

use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use flash_liquidator_client::decode::Outcome;
use klend_flash_keeper::{
    build::{
        plan::{Fees, Least, Plan, Wishes},
        simulation::{Stage, liquidated, simulate},
    },
    judge::policy::Policy,
    keys::Key,
    route::{
        fees::Offer,
        frozen::{Frozen, Selling},
        position::{NoWay, Position, Search},
        terms::TooLittle,
    },
};
use klend_fork::{Machine, Position as Opened, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::{refusal::Refusal, time::Clock};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_signer::Signer;
use support::Memory;

/// Ways to sell SOL for USDC: what they take of it, basis points.
const ROUTES: [(&str, u16); 4] = [
    ("a pool of 1 bps", 1),
    ("a pool of 10 bps", 10),
    ("a pool of 30 bps", 30),
    ("a pool of 60 bps, as much as two hops of 30", 60),
];
/// Micro-lamports for a compute unit, and lamports of tip.
const OFFERS: [(u64, u64); 5] =
    [(0, 0), (100_000, 0), (100_000, 10_000), (100_000, 100_000), (100_000, 1_000_000)];
/// Sizes that are tried, raw units of USDC: from a hundredth of a dollar on.
const SMALLEST: u64 = 10_000;
const LARGEST: u64 = 10_000_000_000;
/// Debt of the obligation that the others are scaled from, and its collateral.
const DEBT: u64 = 113_500_000_000;
const DEPOSIT: u64 = 1_000_000_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` only wants to know that it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut rows = Vec::new();
    for (name, fee_bps) in ROUTES {
        let fork = Fork::new(fee_bps)?;
        for (unit_price, tip) in OFFERS {
            let row = fork.smallest(unit_price, tip)?;
            eprintln!("{name}, {unit_price} micro-lamports a unit, tip {tip}: {row}");
            let mut named = json!({ "route": name, "unit_price": unit_price, "tip": tip });
            for (key, value) in row.as_object().context("a row")? {
                named[key] = value.clone();
            }
            rows.push(named);
        }
    }
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{}", json!({ "rows": rows }));
    }
    Ok(())
}

/// The built-in fork with pools, and an obligation that may be liquidated.
struct Fork {
    world: World,
    key: Key,
    obligation: Address,
    market: Address,
    template: Account,
}

/// What comes of a size.
struct Tried {
    plan: Plan,
    stage: Stage,
    programs: Vec<Address>,
}

impl Fork {
    fn new(fee_bps: u16) -> Result<Self> {
        let mut world = World::builtin()?;
        let reserve = |world: &World, name: &str| world.reserve_named(name);
        let (sol, usdc) = (reserve(&world, "SOL")?, reserve(&world, "USDC")?);
        let owner = world.actor("borrower");
        let (deposits, borrows) = ([(sol, DEPOSIT)], [(usdc, DEBT)]);
        let obligation = world.open_position(&owner, &Opened::new(&deposits, &borrows))?;
        let price = world.price(&sol)?;
        world.set_price(&sol, price.scaled(80, 100).context("a price")?)?;
        world.create_pool_at_oracle_price(&sol, &usdc, 50_000_000, fee_bps)?;
        // Token accounts are made once, by `keeper setup`.
        let key = Key::simulated();
        let (authority, _) = flash_liquidator_client::receiver::swap_authority(&key.pubkey());
        for reserve in [sol, usdc] {
            let addresses = world.reserve_addresses(&reserve)?;
            for owner in [key.pubkey(), authority] {
                world.give(&owner, &addresses.liquidity_mint, 0)?;
            }
            world.give(&key.pubkey(), &addresses.ctoken_mint, 0)?;
        }
        let market = world.reserve_addresses(&sol)?.lending_market;
        let template = world.account(&obligation).context("it was opened")?;
        Ok(Self { world, key, obligation, market, template })
    }

    /// The smallest debt that the keeper signs for.
    fn smallest(&self, unit_price: u64, tip: u64) -> Result<Value> {
        let pays = |debt: u64| self.decide(debt, unit_price, tip).map(|tried| tried.is_some());
        let (mut below, mut at) = (0, SMALLEST);
        while !pays(at)? {
            (below, at) = (at, at + at / 4);
            if at > LARGEST {
                bail!("not even {LARGEST} raw units of debt pay");
            }
        }
        while at - below > (at / 1_000).max(1) {
            let middle = below + (at - below) / 2;
            if pays(middle)? { at = middle } else { below = middle }
        }
        let mut tried = self.decide(at, unit_price, tip)?.context("it pays")?;
        let decided = tried.plan.costs.total();
        let source = self.source(at)?;
        let world = klend_flash_keeper::feeds::source::Source::world(&source, &tried.programs)?;
        let mut machine = Machine::new(world);
        let simulation = simulate(&mut machine, &tried.plan, &tried.stage, &[])?;
        ensure!(simulation.decoded.outcome == Outcome::Succeeded, "{:?}", simulation.decoded);
        let event = liquidated(&simulation.decoded).context("an event")?;
        ensure!(i128::from(event.profit) == tried.plan.profit(), "{event:?}");
        tried.plan.limit_units(simulation.units);
        Ok(json!({
            "debt": at,
            "repaid": event.debt_repaid,
            "profit": event.profit,
            "units": simulation.units,
            "bytes": simulation.bytes,
            "decided_lamports": decided,
            "lamports": tried.plan.costs.total(),
            "cost": tried.plan.cost,
        }))
    }

    /// A source with the obligation at this debt.
    fn source(&self, debt: u64) -> Result<Memory> {
        let mut world = self.world.clone();
        let mut account = self.template.clone();
        let body = account.data.get_mut(DISCRIMINATOR_SIZE..).context("it has data")?;
        let obligation: &mut Obligation = bytemuck::from_bytes_mut(body);
        let scaled = |amount: u128| amount * u128::from(debt) / u128::from(DEBT);
        let deposit = &mut obligation.deposits[0].deposited_amount;
        *deposit = u64::try_from(scaled((*deposit).into()))?;
        let borrow = &mut obligation.borrows[0];
        borrow.borrowed_amount_sf =
            (u128::from(borrow.borrowed_amount_sf) / u128::from(DEBT) * u128::from(debt)).into();
        world.set_account(&self.obligation, account)?;
        let clock =
            Clock { slot: world.slot(), unix_timestamp: u64::try_from(world.unix_timestamp())? };
        let market = self.market;
        Ok(Memory { world: Mutex::new(world), clock, obligations: Vec::new(), market })
    }

    /// What the keeper decides; `None` if it does not pay.
    fn decide(&self, debt: u64, unit_price: u64, tip: u64) -> Result<Option<Tried>> {
        let source = self.source(debt)?;
        let keeper = self.key.pubkey();
        let frozen = Frozen::read(&source, &self.obligation, &Selling::default(), &keeper)?;
        let view = frozen.view(None)?;
        let wishes = Wishes {
            search: Search {
                swap_cost_bps: 0,
                max_fee_bps: 10,
                loan_margin_bps: 5,
                max_repay_usd: None,
                policy: Policy::default(),
            },
            slippage_bps: 50,
            tolerance_bps: 2_500,
            least: Least::Usd(0.0),
            fees: Fees::Stated {
                offer: Offer { unit_price, tip },
                tip_account: Some(Address::new_from_array([3; 32])),
            },
            deadline_slots: 32,
            sol_usd: None,
            dont_front: None,
            jupiter: None,
            tables: Vec::new(),
        };
        let position = Position::new(&view, &self.obligation, &frozen.obligation, &wishes.search)?;
        match Plan::new(&position, &keeper, &wishes, 0, 0) {
            Ok(plan) => {
                let stage = Stage::new(&view, &plan, true)?;
                let programs = stage.programs.clone();
                Ok(Some(Tried { plan, stage, programs }))
            }
            Err(reason)
                if reason.is::<TooLittle>() || reason.is::<NoWay>() || reason.is::<Refusal>() =>
            {
                Ok(None)
            }
            Err(reason) => Err(reason),
        }
    }
}
