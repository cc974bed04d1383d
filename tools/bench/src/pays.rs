//! The smallest debt whose liquidation still pays, by route and by what is offered to be
//! included: the smallest that the keeper signs for with no floor on the profit, on the
//! built-in fork with SOL a fifth lower. As with `simulate = "local"` each one is executed in
//! the local machine, which says what it costs, and what was quoted arrives.

use anyhow::{Context, Result, bail, ensure};
use flash_liquidator_client::{
    decode::Outcome,
    receiver::{Liquidated, swap_authority},
};
use indicatif::ProgressBar;
use klend_flash_keeper::{
    build::{
        plan::{Fees, Least, Plan, Wishes},
        simulation::{Stage, liquidated, simulate, stand_in_wallet},
    },
    feeds::source::{BuiltinFork, Source},
    judge::policy::Policy,
    keys::Key,
    route::{
        fees::{Offer, TooDear},
        frozen::{Frozen, Selling},
        position::{NoWay, Position, Search},
        terms::TooLittle,
    },
};
use klend_fork::{Machine, Position as Opened, Programs, STAND_IN_VERSION, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::refusal::Refusal;
use serde::{Deserialize, Serialize};
use solana_address::Address;
use solana_signer::Signer;

use crate::format::{count, table};

/// Ways to sell SOL for USDC: what they take of it, basis points.
const ROUTES: [(&str, u16); 4] = [
    ("a pool of 1 bps", 1),
    ("a pool of 10 bps", 10),
    ("a pool of 30 bps", 30),
    ("60 bps, as two hops of 30", 60),
];
/// Micro-lamports for a compute unit, where there is a priority fee.
pub const UNIT_PRICE: u64 = 100_000;
/// Micro-lamports for a compute unit, and lamports of tip.
const OFFERS: [(u64, u64); 5] =
    [(0, 0), (UNIT_PRICE, 0), (UNIT_PRICE, 10_000), (UNIT_PRICE, 100_000), (UNIT_PRICE, 1_000_000)];
/// Who gets the tip.
const TIPPED: Address = Address::new_from_array([3; 32]);
/// Debts that are tried, raw units of USDC.
const SMALLEST: u64 = 10_000;
const LARGEST: u64 = 10_000_000_000;
/// Debt of the obligation that the others are scaled from, and its collateral: 113.50 USDC
/// for each SOL.
const DEBT: u64 = 113_500_000_000;
const DEPOSIT: u64 = 1_000_000_000_000;
/// Raw units of USDC in one.
const USDC: f64 = 1e6;

/// The smallest debt that pays by one route with one offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pays {
    /// What the collateral is sold in.
    pub route: String,
    /// Micro-lamports for a compute unit.
    pub unit_price: u64,
    /// Lamports.
    pub tip: u64,
    /// The obligation's whole debt, raw units.
    pub debt: u64,
    /// What is repaid of it.
    pub repaid: u64,
    /// What is left of the proceeds when the loan is paid back.
    pub profit: u64,
    /// Compute units that it takes.
    pub units: u64,
    /// Lamports that it costs when it lands, as the keeper estimates them before the
    /// simulation, and as they are decided by and signed for.
    pub lamports: [u64; 2],
}

/// Measures all of them.
///
/// # Errors
/// When nothing pays, or something else arrives than was quoted.
pub fn measure(programs: &Programs, progress: &ProgressBar) -> Result<Vec<Pays>> {
    let mut rows = Vec::new();
    for (route, fee_bps) in ROUTES {
        progress.set_message(format!("what pays in {route}"));
        let mut fork = Fork::new(programs, fee_bps)?;
        for (unit_price, tip) in OFFERS {
            rows.push(fork.smallest(route, unit_price, tip)?);
        }
    }
    Ok(rows)
}

/// Debts by route, a row for each offer.
pub fn markdown(rows: &[Pays]) -> String {
    let mut header = vec!["offered", "lamports, estimated", "lamports, signed"];
    header.extend(ROUTES.map(|(route, _)| route));
    let mut table = table(&header);
    for offer in OFFERS {
        let of_offer = || rows.iter().filter(|row| (row.unit_price, row.tip) == offer);
        // By route they differ by a few units.
        let most = |at: usize| of_offer().map(|row| row.lamports[at]).max().unwrap_or_default();
        let offered = match offer {
            (0, _) => "the signature alone".to_owned(),
            (_, 0) => "with a priority fee".to_owned(),
            (_, tip) => format!("with a tip of {}, too", count(tip)),
        };
        let mut cells = vec![offered, count(most(0)), count(most(1))];
        cells.extend(ROUTES.map(|(route, _)| {
            let row = of_offer().find(|row| row.route == route);
            row.map_or_else(String::new, |row| {
                format!("{:.2} of {:.2}", row.repaid as f64 / USDC, row.debt as f64 / USDC)
            })
        }));
        table.add_row(cells);
    }
    format!("{table}\n")
}

/// The built-in fork with a pool, and an obligation that may be liquidated.
struct Fork {
    world: World,
    key: Key,
    obligation: Address,
    template: solana_account::Account,
}

/// What the keeper signs for.
struct Signed {
    plan: Plan,
    /// Lamports, before the simulation.
    estimated: u64,
    /// Compute units that it took.
    units: u64,
    event: Liquidated,
}

impl Fork {
    fn new(programs: &Programs, fee_bps: u16) -> Result<Self> {
        let mut world = World::builtin_with(programs)?;
        let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
        let owner = world.actor("borrower");
        let (deposits, borrows) = ([(sol, DEPOSIT)], [(usdc, DEBT)]);
        let obligation = world.open_position(&owner, &Opened::new(&deposits, &borrows))?;
        let price = world.price(&sol)?;
        world.set_price(&sol, price.scaled(80, 100).context("a price")?)?;
        world.create_pool_at_oracle_price(&sol, &usdc, 50_000_000, fee_bps)?;
        world.set_account(&TIPPED, stand_in_wallet())?;
        // Token accounts are made once, by `keeper setup`.
        let key = Key::simulated();
        let (authority, _) = swap_authority(&key.pubkey());
        for reserve in [sol, usdc] {
            let addresses = world.reserve_addresses(&reserve)?;
            for owner in [key.pubkey(), authority] {
                world.give(&owner, &addresses.liquidity_mint, 0)?;
            }
            world.give(&key.pubkey(), &addresses.ctoken_mint, 0)?;
        }
        let template = world.account(&obligation).context("it was opened")?;
        Ok(Self { world, key, obligation, template })
    }

    /// The smallest debt that the keeper signs for, to a thousandth.
    fn smallest(&mut self, route: &str, unit_price: u64, tip: u64) -> Result<Pays> {
        let (mut below, mut debt) = (0, SMALLEST);
        while self.decide(debt, unit_price, tip)?.is_none() {
            (below, debt) = (debt, debt * 2);
            if debt > LARGEST {
                bail!("{route}: not even {LARGEST} raw units of debt pay");
            }
        }
        while debt - below > (debt / 1_000).max(1) {
            let middle = below + (debt - below) / 2;
            if self.decide(middle, unit_price, tip)?.is_some() {
                debt = middle;
            } else {
                below = middle;
            }
        }
        let Signed { plan, estimated, units, event } =
            self.decide(debt, unit_price, tip)?.context("it pays")?;
        Ok(Pays {
            route: route.to_owned(),
            unit_price,
            tip,
            debt,
            repaid: event.debt_repaid,
            profit: u64::try_from(event.profit)?,
            units,
            lamports: [estimated, plan.costs.total()],
        })
    }

    /// Lets the obligation owe so much, for as much more or less collateral.
    fn owe(&mut self, debt: u64) -> Result<()> {
        let mut account = self.template.clone();
        let body = account.data.get_mut(DISCRIMINATOR_SIZE..).context("it has data")?;
        let obligation: &mut Obligation = bytemuck::from_bytes_mut(body);
        let deposit = &mut obligation.deposits[0].deposited_amount;
        let scaled = u128::from(*deposit) * u128::from(debt) / u128::from(DEBT);
        *deposit = u64::try_from(scaled)?;
        let borrow = &mut obligation.borrows[0];
        borrow.borrowed_amount_sf =
            (u128::from(borrow.borrowed_amount_sf) / u128::from(DEBT) * u128::from(debt)).into();
        self.world.set_account(&self.obligation, account)?;
        Ok(())
    }

    /// What the keeper signs for; `None` if it does not pay.
    fn decide(&mut self, debt: u64, unit_price: u64, tip: u64) -> Result<Option<Signed>> {
        self.owe(debt)?;
        let source = BuiltinFork::of(self.world.clone());
        source.take_for(STAND_IN_VERSION);
        let keeper = self.key.pubkey();
        let mut frozen = Frozen::read(&source, &self.obligation, &Selling::default(), &keeper)?;
        frozen.read_more(&source, &[TIPPED])?;
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
            fees: Fees::Stated { offer: Offer { unit_price, tip }, tip_account: Some(TIPPED) },
            deadline_slots: 32,
            sol_usd: None,
            dont_front: None,
            jupiter: None,
            tables: Vec::new(),
            simulates: true,
        };
        let position = Position::new(&view, &self.obligation, &frozen.obligation, &wishes.search)?;
        let is_refusal = |reason: &anyhow::Error| {
            reason.is::<TooLittle>()
                || reason.is::<TooDear>()
                || reason.is::<NoWay>()
                || reason.is::<Refusal>()
        };
        let mut plan = match Plan::new(&position, &keeper, &wishes, 0, 0) {
            Err(reason) if is_refusal(&reason) => return Ok(None),
            plan => plan?,
        };
        let estimated = plan.costs.total();
        let stage = Stage::new(&view, &plan, true)?;
        let mut machine = Machine::new(self.world.clone());
        let simulation = simulate(&mut machine, &plan, &stage, &[])?;
        ensure!(simulation.decoded.outcome == Outcome::Succeeded, "{:?}", simulation.decoded);
        let event = liquidated(&simulation.decoded).context("an event")?.clone();
        ensure!(i128::from(event.profit) == plan.profit(), "{event:?}");
        match plan.limit_units(simulation.units) {
            Err(reason) if is_refusal(&reason) => Ok(None),
            priced => {
                priced?;
                plan.check_profit(event.profit)?;
                Ok(Some(Signed { plan, estimated, units: simulation.units, event }))
            }
        }
    }
}
