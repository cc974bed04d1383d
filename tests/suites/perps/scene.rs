//! klend to borrow from, an exchange with somebody to be liquidated, and a keeper
//! whose only token comes from the loan.
//!
//! The exchange is the stand-in, or for Drift the program that `DRIFT_ELF` names:
//! the accounts are complete enough for both ([`crate::complete`]).

use std::{env, fs};

use anchor_lang::{AnchorDeserialize, Discriminator};
use drift_stand_in::state::{
    Average, BookSide, ISOLATED, Layout, Oracle, Order, PerpMarket, PerpPosition, SpotMarket,
    SpotPosition, State, UserStats,
};
use flash_liquidator_client::{
    bracket::{Guard, GuardedFlash, Guards, Settled},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    klend::{FlashLoan, ReserveAddresses},
    perps::{
        self, EmptyAccount, Exchange, Leftover, Maker, Markets, PerpLiquidation, Prices,
        SubAccount, TakeOver, User, View, layout::oracle_source,
    },
    receiver,
};
use flash_liquidator_tests::{Invariants, router::Swap};
use klend_fork::{ForkError, Outcome, Pool, World, deploy_folder};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;
use swap_stand_in::Variant;

use crate::complete;

/// Principal of the loan: 20,000 USDC.
pub const LOAN: u64 = 20_000_000_000;
/// Millionths of a dollar, and units of USDC.
pub const USD: i64 = 1_000_000;
/// Units of SOL, and of a perp on it.
pub const SOL: i64 = 1_000_000_000;

/// SOL's price on the exchange.
pub const PRICE: i64 = 143 * USD;

/// The exchange's markets: USDC and SOL, SOL-PERP.
pub const USDC_MARKET: u16 = 0;
pub const SOL_MARKET: u16 = 1;
pub const SOL_PERP: u16 = 0;

/// Where in its account the victim's perp position is.
pub const VICTIMS_POSITION: usize = 3;

pub const SOL_ORACLE: Address = Address::new_from_array([201; 32]);
pub const USDC_ORACLE: Address = Address::new_from_array([202; 32]);

/// The program of Drift that `DRIFT_ELF` names, if it does.
fn real_drift() -> Option<Vec<u8>> {
    let path = env::var_os("DRIFT_ELF").filter(|path| !path.is_empty())?;
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The program that is deployed as an exchange.
pub fn program_of(exchange: Exchange) -> Vec<u8> {
    let stand_in = || fs::read(deploy_folder().join("drift_stand_in.so"));
    let real = real_drift().filter(|_| exchange == Exchange::Drift);
    real.unwrap_or_else(|| stand_in().expect("drift_stand_in.so"))
}

/// Whether Drift is the real program.
pub fn is_real(exchange: Exchange) -> bool {
    exchange == Exchange::Drift && real_drift().is_some()
}

/// The stand-in's name for an exchange.
fn played(exchange: Exchange) -> drift_stand_in::Exchange {
    match exchange {
        Exchange::Drift => drift_stand_in::Exchange::Drift,
        Exchange::Velocity => drift_stand_in::Exchange::Velocity,
    }
}

/// Everything there is.
pub struct Scene {
    pub world: World,
    pub keeper: Keypair,
    pub thief: Keypair,
    pub exchange: Exchange,
    /// The keeper's account on the exchange.
    pub account: SubAccount,
    /// Whom to liquidate.
    pub victim: SubAccount,
    /// klend's USDC.
    pub reserve: ReserveAddresses,
    /// The keeper's token accounts.
    pub usdc: Address,
    pub sol: Address,
    /// Where SOL is sold, at the exchange's price less a fee.
    pub pool: Pool,
}

impl Scene {
    /// A victim with these positions: units of USDC and SOL (negative for a
    /// borrow), size and quote of the perp.
    pub fn new(exchange: Exchange, usdc: i64, sol: i64, base: i64, quote: i64) -> Self {
        let mut world = World::builtin().unwrap();
        world.deploy(&exchange.program_id(), &program_of(exchange)).unwrap();
        let [keeper, thief, victim] = ["keeper", "thief", "victim"].map(|name| world.actor(name));
        let usdc_reserve = world.reserve_named("USDC").unwrap();
        let reserve = world.reserve_addresses(&usdc_reserve).unwrap();
        let sol_reserve = world.reserve_named("SOL").unwrap();
        let sol_mint = world.reserve_addresses(&sol_reserve).unwrap().liquidity_mint;
        let usdc_mint = reserve.liquidity_mint;
        for mint in [usdc_mint, sol_mint] {
            world.open_token_account(&thief.pubkey(), &mint).unwrap();
        }
        let [usdc_account, sol_account] = [usdc_mint, sol_mint]
            .map(|mint| world.open_token_account(&keeper.pubkey(), &mint).unwrap());
        // Ten million dollars on each side.
        let (pool_sol, pool_usdc) = (70_000 * SOL as u64, 70_000 * PRICE as u64);
        let pool = world.create_pool(&sol_mint, &usdc_mint, pool_sol, pool_usdc, 5).unwrap();

        let victim = SubAccount { exchange, authority: victim.pubkey(), id: 0 };
        let account = SubAccount { exchange, authority: keeper.pubkey(), id: 0 };
        let mut scene = Self {
            world,
            keeper,
            thief,
            exchange,
            account,
            victim,
            reserve,
            usdc: usdc_account,
            sol: sol_account,
            pool,
        };
        scene.open_exchange(sol_mint);
        let perp = PerpPosition { base, quote, market: SOL_PERP, ..PerpPosition::default() };
        scene.open_victim([usdc, sol], perp);
        let setup = [
            perps::initialize_user_stats(exchange, &account.authority),
            perps::initialize_user(account, [0; 32]),
        ];
        scene.world.send(&setup, &[&scene.keeper]).unwrap();
        scene
    }

    fn open_exchange(&mut self, sol_mint: Address) {
        let exchange = self.exchange;
        let signer = exchange.signer();
        let seeds: [&[u8]; 1] = [played(exchange).signer_seed()];
        let (_, signer_nonce) = Address::find_program_address(&seeds, &exchange.program_id());
        let state = State {
            signer,
            taker_fee: (1, 1_000),
            signer_nonce,
            margin_buffer: 200,
            duration_slots: 150,
            initial_share: 10_000,
            ..State::default()
        };
        self.write(&exchange.state(), &state);
        let posted_slot = self.world.slot();
        self.write(&SOL_ORACLE, &Oracle { price: PRICE, exponent: -6, posted_slot });
        self.write(&USDC_ORACLE, &Oracle { price: 100_000_000, exponent: -8, posted_slot });

        // Interest that has accrued for a while: balances do not divide evenly.
        let mut usdc = SpotMarket {
            address: exchange.spot_market(USDC_MARKET),
            oracle: USDC_ORACLE,
            mint: self.reserve.liquidity_mint,
            vault: exchange.spot_market_vault(USDC_MARKET),
            deposit_interest: 10_437_219_933,
            borrow_interest: 10_912_345_671,
            asset_weight: [10_000, 10_000],
            liability_weight: [10_000, 10_000],
            decimals: 6,
            index: USDC_MARKET,
            oracle_source: oracle_source::PYTH_LAZER,
            status: 1,
            ..SpotMarket::default()
        };
        let mut pnl_pool = 0;
        usdc.add_to_pool(&mut pnl_pool, i128::from(100_000 * USD)).unwrap();
        // Deposits of others.
        usdc.add_to_pool(&mut 0, i128::from(500_000 * USD)).unwrap();
        let mut sol = SpotMarket {
            address: exchange.spot_market(SOL_MARKET),
            oracle: SOL_ORACLE,
            mint: sol_mint,
            vault: exchange.spot_market_vault(SOL_MARKET),
            deposit_interest: 10_000_000_000,
            borrow_interest: 10_000_000_000,
            asset_weight: [8_000, 9_000],
            liability_weight: [12_000, 11_000],
            liquidator_fee: 50_000,
            decimals: 9,
            index: SOL_MARKET,
            oracle_source: oracle_source::PYTH_LAZER,
            status: 1,
            ..SpotMarket::default()
        };
        sol.add_to_pool(&mut 0, i128::from(5_000 * SOL)).unwrap();
        let perp = PerpMarket {
            address: exchange.perp_market(SOL_PERP),
            oracle: SOL_ORACLE,
            step_size: 10_000_000,
            spread: [500, 500],
            pnl_pool,
            liquidator_fee: 10_000,
            margin_ratio: [1_000, 500],
            pnl_weight: [0, 10_000],
            index: SOL_PERP,
            quote_spot_market: USDC_MARKET,
            oracle_source: oracle_source::PYTH_LAZER,
            status: 1,
            average: Average { price: PRICE, since: self.world.unix_timestamp() },
            oracle_delay: -1,
            ..PerpMarket::default()
        };
        self.open_vault(&usdc, 1_000_000 * USD as u64);
        self.open_vault(&sol, 10_000 * SOL as u64);
        for market in [&usdc, &sol] {
            self.write(&market.address, market);
        }
        self.write(&perp.address, &perp);
    }

    /// A vault with tokens of other users.
    pub fn open_vault(&mut self, market: &SpotMarket, units: u64) {
        let given = self.world.give(&self.exchange.signer(), &market.mint, units).unwrap();
        let account = self.world.account(&given).unwrap();
        self.world.set_account(&market.vault, account).unwrap();
        self.world.set_account(&given, Account::default()).unwrap();
    }

    /// Gives the victim these positions.
    pub fn open_victim(&mut self, units: [i64; 2], perp: PerpPosition) {
        self.open_user(self.victim, units, perp);
        self.complete();
    }

    fn open_user(&mut self, account: SubAccount, units: [i64; 2], perp: PerpPosition) {
        let authority = account.authority;
        let mut user = drift_stand_in::state::User { authority, ..Default::default() };
        for (index, units) in [USDC_MARKET, SOL_MARKET].into_iter().zip(units) {
            if units != 0 {
                let mut market: SpotMarket = self.read(&self.exchange.spot_market(index));
                let mut position = SpotPosition { market: index, ..SpotPosition::default() };
                market.add(&mut position, units.into()).unwrap();
                user.spot[usize::from(index)] = position;
                self.write(&market.address.clone(), &market);
            }
        }
        user.perp[VICTIMS_POSITION] = perp;
        self.write(&account.address(), &user);
        self.write(&account.stats(), &UserStats { authority, ..UserStats::default() });
    }

    /// What the real program needs besides.
    fn complete(&mut self) {
        if self.exchange == Exchange::Drift {
            let keys = complete::Keys {
                state: self.exchange.state(),
                spot: [USDC_MARKET, SOL_MARKET].map(|index| self.exchange.spot_market(index)),
                perp: self.exchange.perp_market(SOL_PERP),
                user: self.victim.address(),
            };
            complete::complete(&mut self.world, &keys, PRICE);
        }
    }

    /// Writes one of the exchange's accounts over what is there.
    pub fn write<T: Layout>(&mut self, key: &Address, value: &T) {
        let played = played(self.exchange);
        let there = self.world.account(key).filter(|account| !account.data.is_empty());
        let account = there.map_or_else(
            || Account {
                lamports: 100_000_000,
                data: value.to_bytes(played),
                owner: self.exchange.program_id(),
                ..Account::default()
            },
            |mut account| {
                value.write(&mut account.data, played);
                account
            },
        );
        self.world.set_account(key, account).unwrap();
    }

    /// Reads one of the exchange's accounts.
    pub fn read<T: Layout>(&self, key: &Address) -> T {
        T::read(&self.world.account(key).unwrap().data, played(self.exchange))
    }

    /// Changes one of the exchange's accounts.
    pub fn edit<T: Layout>(&mut self, key: &Address, change: impl FnOnce(&mut T)) {
        let mut value: T = self.read(key);
        change(&mut value);
        self.write(key, &value);
    }

    /// The same once more, to try something.
    pub fn clone_world(&self) -> Self {
        Self {
            world: self.world.clone(),
            keeper: self.keeper.insecure_clone(),
            thief: self.thief.insecure_clone(),
            reserve: self.reserve,
            ..*self
        }
    }

    /// A user who has lost this much on a closed position, and has the money.
    pub fn open_loser(&mut self, lost: i64) -> SubAccount {
        let authority = self.world.actor("loser").pubkey();
        let loser = SubAccount { exchange: self.exchange, authority, id: 0 };
        let quote = self.exchange.spot_market(USDC_MARKET);
        let mut market: SpotMarket = self.read(&quote);
        let mut position = SpotPosition::default();
        market.add(&mut position, i128::from(2 * lost)).unwrap();
        self.write(&quote, &market);
        let mut user = drift_stand_in::state::User { authority, ..Default::default() };
        user.spot[0] = position;
        user.perp[0] = PerpPosition { quote: -lost, market: SOL_PERP, ..Default::default() };
        self.write(&loser.address(), &user);
        loser
    }

    /// Makes the victim's position an isolated one, whose collateral is the account's
    /// dollars.
    pub fn isolate(&mut self) {
        let key = self.victim.address();
        self.edit::<drift_stand_in::state::User>(&key, |user| {
            let dollars = std::mem::take(&mut user.spot[usize::from(USDC_MARKET)]);
            let position = &mut user.perp[VICTIMS_POSITION];
            (position.flag, position.isolated_balance) = (ISOLATED, dollars.scaled_balance);
        });
    }

    /// A user whose order rests on Drift's book, with the dollars to back it.
    pub fn open_maker(&mut self, side: BookSide, price: i64, base: i64) -> Maker {
        assert_eq!(self.exchange, Exchange::Drift);
        let authority = self.world.actor("maker").pubkey();
        let maker = SubAccount { exchange: self.exchange, authority, id: 0 };
        let bids = if side == BookSide::Bid { base } else { -base };
        let perp = PerpPosition { market: SOL_PERP, open_orders: 1, ..PerpPosition::default() };
        self.open_user(maker, [200_000 * USD, 0], perp);
        let slot = self.world.slot();
        let order = Order {
            slot,
            price: price.unsigned_abs(),
            base: base.unsigned_abs(),
            filled: 0,
            market: SOL_PERP,
            side,
        };
        let mut account = self.world.account(&maker.address()).unwrap();
        order.write(&mut account.data, 0);
        complete::resting_order(&mut account.data, VICTIMS_POSITION, bids);
        self.world.set_account(&maker.address(), account).unwrap();
        Maker { user: maker.address(), stats: maker.stats() }
    }

    /// The victim, as a keeper sees it.
    pub fn user(&self) -> User {
        let key = self.victim.address();
        let account = self.world.account(&key).unwrap();
        User::read(&key, &account.owner, &account.data).unwrap()
    }

    /// The exchange's markets, as a keeper sees them.
    pub fn markets(&self) -> Markets {
        let account = |key: &Address| self.world.account(key).unwrap();
        let spot = [USDC_MARKET, SOL_MARKET].map(|index| {
            let key = self.exchange.spot_market(index);
            let account = account(&key);
            perps::SpotMarket::read(&key, &account.owner, &account.data).unwrap()
        });
        let key = self.exchange.perp_market(SOL_PERP);
        let account = account(&key);
        let perp = perps::PerpMarket::read(&key, &account.owner, &account.data).unwrap();
        Markets::new(self.exchange, spot, [perp]).unwrap()
    }

    /// The prices of their oracles.
    pub fn prices(&self) -> Prices {
        let mut prices = Prices::default();
        for (oracle, kind) in self.markets().oracles() {
            let account = self.world.account(&oracle).unwrap();
            prices.read(&oracle, kind, &account.owner, &account.data).unwrap();
        }
        prices
    }

    /// How Drift liquidates.
    pub fn state(&self) -> perps::State {
        let key = self.exchange.state();
        let account = self.world.account(&key).unwrap();
        perps::State::read(&key, &account.owner, &account.data).unwrap()
    }

    /// Runs a quote on what a keeper sees.
    pub fn quoted<T>(&self, quote: impl FnOnce(View, &perps::State, u64) -> T) -> T {
        let (user, markets, prices) = (self.user(), self.markets(), self.prices());
        let view = View { user: &user, markets: &markets, prices: &prices };
        quote(view, &self.state(), self.world.slot())
    }

    /// The keeper's account, if it is empty.
    pub fn empty(&self) -> Result<EmptyAccount, perps::PerpError> {
        let key = self.account.address();
        let account = self.world.account(&key).unwrap();
        EmptyAccount::read(&key, &account.owner, &account.data)
    }

    /// The body of a liquidation, built as a keeper builds it.
    pub fn body(&self, take_over: TakeOver) -> Vec<Instruction> {
        self.body_with(LOAN, take_over)
    }

    /// The same with a part of the loan deposited.
    pub fn body_with(&self, loan: u64, take_over: TakeOver) -> Vec<Instruction> {
        let (user, markets) = (self.user(), self.markets());
        let liquidation = PerpLiquidation {
            account: self.empty().unwrap(),
            user: &user,
            markets: &markets,
            token_account: self.usdc,
            loan,
            take_over,
            leftover: Leftover::Refuse,
        };
        liquidation.body().unwrap()
    }

    /// Moves the oracle, and the averages that follow it.
    pub fn set_price(&mut self, price: i64) {
        let posted_slot = self.world.slot();
        self.edit::<Oracle>(&SOL_ORACLE, |oracle| {
            (oracle.price, oracle.posted_slot) = (price, posted_slot);
        });
    }

    /// Lets the curve of Drift's market maker follow the oracle, as it is in operation.
    pub fn let_the_curve_follow(&mut self) {
        let key = self.exchange.perp_market(SOL_PERP);
        let mut account = self.world.account(&key).unwrap();
        complete::follow_the_oracle(&mut account.data);
        self.world.set_account(&key, account).unwrap();
    }

    /// The keeper sells SOL for USDC.
    pub fn sell(&self, units: u64) -> Instruction {
        self.swap(self.pool.mints[0], [self.sol, self.usdc], units)
    }

    /// The keeper buys SOL for USDC.
    pub fn buy(&self, units: u64) -> Instruction {
        self.swap(self.reserve.liquidity_mint, [self.usdc, self.sol], units)
    }

    /// What that brings, asked of the pool.
    pub fn bought(&self, units: u64) -> u64 {
        let mut probe = self.clone_world();
        probe.world.give(&self.keeper.pubkey(), &self.reserve.liquidity_mint, units).unwrap();
        probe.world.send(&[self.buy(units)], &[&probe.keeper]).unwrap();
        probe.world.balance(&self.sol).unwrap()
    }

    fn swap(&self, sold: Address, [from, to]: [Address; 2], amount: u64) -> Instruction {
        let keeper = self.keeper.pubkey();
        Swap { keeper, sold, from, to, amount }.through(&self.pool, Variant::Honest, 0)
    }

    /// Sends these instructions inside the bracket; checks the invariants.
    pub fn send(&mut self, body: Vec<Instruction>, min_profit: i64) -> Result<Outcome, ForkError> {
        let keeper = self.keeper.pubkey();
        let guards = [Guard { account: self.sol, max_loss: 0 }];
        let flash = GuardedFlash {
            loan: FlashLoan {
                reserve: &self.reserve,
                borrower: keeper,
                token_account: self.usdc,
                referrer: None,
            },
            amount: LOAN,
            min_profit,
            deadline_slot: 0,
            max_lamports_spent: 0,
            guards: Guards::These(&guards),
            compute_budget: ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 },
            setup: vec![],
            body,
        };
        let instructions = flash.instructions().unwrap();
        let table = self.world.table_for(&instructions, &keeper)?;
        let invariants = Invariants::note(&self.world, &keeper).hostile(&[self.thief.pubkey()]);
        let sent = self.world.send_v0(&instructions, &[&self.keeper], &[table]);
        invariants.check(&self.world, &sent);
        sent
    }
}

/// What `settle` reported.
pub fn settled(outcome: &Outcome) -> Settled {
    let event = outcome
        .data_of(&receiver::PROGRAM_ID)
        .find_map(|data| data.strip_prefix(Settled::DISCRIMINATOR));
    Settled::try_from_slice(event.expect("a Settled event")).unwrap()
}

/// Program and number of the error that a transaction ended with.
pub fn refusal(sent: Result<Outcome, ForkError>) -> (Address, u32) {
    match sent {
        Err(ForkError::Failed(failure)) => {
            let code = failure.custom_code().unwrap_or_else(|| panic!("{failure}"));
            let last = failure.outcome.instructions.last().expect("an instruction").program;
            (last, code)
        }
        Err(error) => panic!("{error}"),
        Ok(outcome) => panic!("it got through: {:#?}", outcome.logs),
    }
}
