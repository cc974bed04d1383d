//! Flash liquidations of obligations of any shape, without accounts behind them:
//! what they take in a transaction depends on how many there are and on nothing
//! else.

#![allow(dead_code, reason = "each of those who include it uses its own part")]

use std::collections::BTreeMap;

use bytemuck::Zeroable;
use flash_liquidator_client::{
    compute_budget::ComputeBudget,
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Refresh},
    klend::{ObligationAddresses, ReserveAddresses},
    receiver::{Route, SwapLeg, Terms, swap_authority},
    swap::{
        self, Account, Amount, Now, Pool, Side, Trade,
        stand_in::StandInPool,
        whirlpool::{self, Whirlpool},
    },
    token::TOKEN_PROGRAM_ID,
};
use klend_interface::state::Reserve;
use klend_model::keys::to_v2;
use solana_address::Address;
use solana_instruction::Instruction;

/// Where the collateral is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// Nowhere: the keeper keeps it.
    None,
    /// The constant-product pool of tests and local forks.
    StandIn,
    /// A Whirlpool.
    Whirlpool,
}

/// What an obligation and its liquidation are made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Deposits, each in a reserve of its own.
    pub deposits: u8,
    /// Debts, each in a reserve of its own.
    pub debts: u8,
    /// Whether reserves have farms, on both sides.
    pub farms: bool,
    /// Whether the obligation is in an elevation group, so that klend wants all
    /// its deposits again when it liquidates.
    pub in_group: bool,
    /// Where the collateral is sold.
    pub venue: Venue,
}

/// A key of its own for each kind and number.
pub fn key(kind: u8, number: u8) -> Address {
    let mut bytes = [kind; 32];
    bytes[0] = number;
    Address::new_from_array(bytes)
}

/// The keeper of all these liquidations.
pub fn keeper() -> Address {
    key(20, 0)
}

/// A reserve; all read the market's Scope account.
fn reserve(number: u8, farms: bool) -> ReserveAddresses {
    let mut state = Reserve::zeroed();
    let at = |kind| to_v2(&key(kind, number));
    state.lending_market = to_v2(&key(1, 0));
    state.liquidity.mint_pubkey = at(10);
    state.liquidity.supply_vault = at(11);
    state.liquidity.fee_vault = at(12);
    state.liquidity.token_program = to_v2(&TOKEN_PROGRAM_ID);
    state.collateral.mint_pubkey = at(13);
    state.collateral.supply_vault = at(14);
    if farms {
        state.farm_collateral = at(15);
        state.farm_debt = at(16);
    }
    state.config.token_info.scope_configuration.price_feed = to_v2(&key(2, 0));
    ReserveAddresses::read(&key(17, number), &state)
}

impl Shape {
    /// A liquidation of the first deposit for the first debt.
    pub fn instructions(
        &self,
        compute_budget: ComputeBudget,
        refresh: Refresh,
    ) -> Vec<Instruction> {
        let keeper = keeper();
        let reserves: Vec<ReserveAddresses> =
            (0..self.deposits + self.debts).map(|number| reserve(number, self.farms)).collect();
        let (deposits, borrows) = reserves.split_at(usize::from(self.deposits));
        let (withdraw, repay) = (&deposits[0], &borrows[0]);
        let keys = |reserves: &[ReserveAddresses]| reserves.iter().map(|r| r.reserve).collect();
        let obligation = ObligationAddresses {
            obligation: key(3, 0),
            lending_market: key(1, 0),
            owner: key(4, 0),
            deposit_reserves: keys(deposits),
            borrow_reserves: keys(borrows),
            referrer: None,
            elevation_group: u8::from(self.in_group),
        };
        FlashLiquidation {
            keeper,
            keeper_accounts: KeeperAccounts::associated(&keeper, repay, withdraw),
            obligation: &obligation,
            reserves: &reserves,
            referrer_token_states: &[],
            repay_reserve: repay.reserve,
            withdraw_reserve: withdraw.reserve,
            flash_reserve: repay,
            flash_amount: 1_000_000,
            permissioner: None,
            terms: Terms::default(),
            route: self.venue.route(&keeper, withdraw, repay),
            compute_budget,
            price_refresh: None,
            setup: Vec::new(),
            refresh,
            nonce: None,
            tip: None,
        }
        .instructions()
        .expect("all reserves are given and few")
    }
}

impl Venue {
    /// One leg that pays the keeper's debt account itself.
    fn route(
        self,
        keeper: &Address,
        withdraw: &ReserveAddresses,
        repay: &ReserveAddresses,
    ) -> Option<Route> {
        let mut route = Route::new(keeper, withdraw, repay);
        route.swap_debt = None;
        let trade = Trade {
            authority: swap_authority(keeper).0,
            input: swap::side(withdraw, route.swap_collateral),
            output: swap::side(repay, KeeperAccounts::associated(keeper, repay, withdraw).debt),
            amount: Amount::All(1_000_000),
            min_out: 0,
            token: 0,
        };
        let sides = [&trade.input, &trade.output].map(|side| (side.mint, side.token_program));
        let leg = match self {
            Self::None => return None,
            Self::StandIn => StandInPool::new(&key(30, 0), 30, sides)
                .leg(&trade)
                .expect("the pool trades both tokens"),
            Self::Whirlpool => whirlpool_leg(&trade),
        };
        route.legs = vec![leg];
        Some(route)
    }
}

/// A leg into a Whirlpool whose price lies in the middle of an array, with liquidity in that
/// one and far beyond.
fn whirlpool_leg(trade: &Trade) -> SwapLeg {
    let (pool, vaults) = (key(30, 0), [key(31, 0), key(31, 1)]);
    let mints = [&trade.input, &trade.output].map(|side: &Side| side.mint);
    let sqrt_price = 1.0001f64.powi(-9_000) * (1u128 << 64) as f64;
    let bytes = |len: usize, fields: &[(usize, &[u8])]| {
        let mut data = vec![0; len];
        for (at, field) in fields {
            data[*at..*at + field.len()].copy_from_slice(field);
        }
        data
    };
    let data = bytes(
        653,
        &[
            (0, &[63, 149, 209, 12, 225, 128, 99, 9]),
            (41, &[4, 0, 4, 0]),
            (45, &400u16.to_le_bytes()),
            (49, &(1u128 << 60).to_le_bytes()),
            (65, &(sqrt_price as u128).to_le_bytes()),
            (81, &(-18_001i32).to_le_bytes()),
            (101, mints[0].as_ref()),
            (133, vaults[0].as_ref()),
            (181, mints[1].as_ref()),
            (213, vaults[1].as_ref()),
        ],
    );
    let program = whirlpool::PROGRAM_ID;
    let pool = Whirlpool::read(&pool, Account { owner: &program, data: &data }).expect("a pool");
    let mut known = BTreeMap::new();
    for account in pool.accounts(&known) {
        known.insert(account, None);
    }
    for mint in mints {
        known.insert(mint, Some((TOKEN_PROGRAM_ID, vec![0; 82])));
    }
    // One tick with liquidity in the array of the price, which begins at -18,304.
    let start = -18_304i32;
    let array = bytes(
        9_988,
        &[
            (0, &[69, 97, 189, 190, 110, 7, 66, 187]),
            (8, &start.to_le_bytes()),
            (12, &[1]),
            (9_956, key(30, 0).as_ref()),
        ],
    );
    let number = start.to_string();
    let seeds: &[&[u8]] = &[b"tick_array", pool.pool.as_ref(), number.as_bytes()];
    let address = Address::find_program_address(seeds, &program).0;
    known.insert(address, Some((program, array)));
    let now = Now { unix_timestamp: 1, slot: 1 };
    let curve = pool.curve(&trade.input.mint, &known, &now).expect("a curve");
    curve.leg(trade).expect("the pool trades both tokens")
}
