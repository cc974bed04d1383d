//! Legs inside liquidations: klend (the stand-in, or the one that `KLEND_ELF` names), the
//! receiver, and a venue's real program. Pools are made as everywhere here, then put into a
//! fork with their accounts; the keeper brings what a pool far from the oracle's price
//! does not pay.
//!
//! Tokenised stocks are mints of Token-2022 with [`extensions`]. A klend that was compiled
//! with a Token-2022 library older than some of them cannot read such mints: the scene asks
//! for each by itself, and goes on with those that it reads.

use flash_liquidator_client::{
    decode::{Event, Executed, decode},
    receiver::{Liquidated, Route, swap_authority},
    swap, units,
};
use klend_fork::{Position, Programs, Rehearsal, World};
use liquidation_venues::{Amount, Trade, VenueError, mint::TOKEN_2022_PROGRAM_ID, raydium_cpmm};
use solana_account::Account;
use solana_address::Address;
use solana_keypair::Keypair;
use solana_sdk_ids::system_program;
use solana_signer::Signer;

use crate::{
    chain::{Chain, Dice, token_2022},
    market::Market,
};

const NATIVE_MINT: Address =
    solana_address::address!("So11111111111111111111111111111111111111112");
/// More than any liquidation here takes, raw units.
const PLENTY: u64 = 1 << 50;
/// Pools that are made until one takes what was seized.
const MOST_POOLS: u64 = 200;

/// An obligation that may be liquidated.
pub struct Scene {
    world: World,
    keeper: Keypair,
    obligation: Address,
    collateral: Address,
    debt: Address,
    /// What the mints get of what tokenised stocks have.
    extensions: Vec<Extension>,
}

/// An extension of a mint: its name, number and value.
type Extension = (&'static str, u16, Vec<u8>);

impl Scene {
    /// A thousand of the collateral's token against debt, after whose opening the
    /// collateral's liquidation threshold has fallen below what is owed.
    pub fn new(collateral: &str, debt: &str, borrowed: u64) -> Self {
        let mut world = World::builtin().unwrap();
        world.restamp_prices().unwrap();
        let [collateral, debt] =
            [collateral, debt].map(|symbol| world.reserve_named(symbol).unwrap());
        Self::with(world, collateral, debt, borrowed)
    }

    /// The same with two tokens of Token-2022, both with the extensions of tokenised stocks.
    pub fn of_stocks() -> Self {
        let mut world = World::builtin().unwrap();
        world.restamp_prices().unwrap();
        let debt = world.reserve_named("PYUSD").unwrap();
        let collateral = world.add_reserve_like(&debt, "TSLAX", &[]).unwrap();
        let mut scene = Self::with(world, collateral, debt, 500);
        let (read, unread): (Vec<_>, Vec<_>) =
            extensions().into_iter().partition(|extension| scene.is_read(extension));
        let unread: Vec<u16> = unread
            .iter()
            .map(|(name, kind, _)| {
                eprintln!("this klend reads no mint with the extension {kind}, {name}");
                *kind
            })
            .collect();
        // The newest two alone, and nothing for the stand-in.
        assert!(unread.iter().all(|kind| NEWEST.contains(kind)), "{unread:?}");
        assert!(unread.is_empty() || !Programs::klend_is_stand_in(), "{unread:?}");
        scene.extensions = read;
        scene
    }

    /// Whether klend lends and liquidates where both mints have this extension alone.
    fn is_read(&mut self, extension: &Extension) -> bool {
        let before = self.world.svm().clone();
        self.extensions = vec![extension.clone()];
        self.extend_mints(None);
        let rehearsal = self.rehearsal();
        let sent = rehearsal.send(&mut self.world, &self.keeper);
        *self.world.svm() = before;
        match sent {
            Ok(_) => true,
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("invalid account data"), "{extension:?}: {said}");
                false
            }
        }
    }

    fn with(mut world: World, collateral: Address, debt: Address, borrowed: u64) -> Self {
        if let Some(elf) = token_2022() {
            world.deploy(&TOKEN_2022_PROGRAM_ID, &elf).unwrap();
        }
        let units = |world: &World, reserve: &Address, tokens: u64| {
            let mint = world.reserve_addresses(reserve).unwrap().liquidity_mint;
            tokens * 10u64.pow(world.decimals(&mint).unwrap().into())
        };
        let deposits = [(collateral, units(&world, &collateral, 1_000))];
        let borrows = [(debt, units(&world, &debt, borrowed))];
        let borrower = world.actor("borrower");
        let obligation =
            world.open_position(&borrower, &Position::new(&deposits, &borrows)).unwrap();
        world
            .edit_reserve(&collateral, |reserve| {
                reserve.config.loan_to_value_pct = 5;
                reserve.config.liquidation_threshold_pct = 10;
            })
            .unwrap();
        world.refresh(&obligation).unwrap();
        let keeper = world.actor("keeper");
        let mint = world.reserve_addresses(&debt).unwrap().liquidity_mint;
        world.give(&keeper.pubkey(), &mint, PLENTY).unwrap();
        Self { world, keeper, obligation, collateral, debt, extensions: Vec::new() }
    }

    fn mints(&self) -> [Address; 2] {
        [&self.collateral, &self.debt]
            .map(|reserve| self.world.reserve_addresses(reserve).unwrap().liquidity_mint)
    }

    /// A liquidation of a little, whatever it costs.
    fn rehearsal(&mut self) -> Rehearsal {
        let decimals = self.world.decimals(&self.mints()[1]).unwrap();
        let (keeper, amount) = (self.keeper.pubkey(), 2 * 10u64.pow(decimals.into()));
        let Self { world, obligation, collateral, debt, .. } = self;
        let mut rehearsal =
            Rehearsal::new(world, &keeper, obligation, debt, collateral, amount).unwrap();
        rehearsal.terms.min_profit = -(PLENTY as i64);
        rehearsal
    }

    /// Sends it; with legs whose swaps were quoted to take so many compute units.
    fn send(&mut self, rehearsal: &Rehearsal, swaps: Option<u32>) -> Liquidated {
        let instructions = rehearsal.instructions(&self.world).unwrap();
        let limit = units::estimate_selling(&instructions, swaps).limit();
        let sent = rehearsal.send(&mut self.world, &self.keeper);
        let outcome = sent.unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.units <= u64::from(limit), "{} units, {limit} estimated", outcome.units);
        let executed = Executed { error: None, logs: &outcome.logs, programs: &[] };
        match &decode(&executed, None).events[..] {
            [Event::Liquidated(event)] => (**event).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// A chain with this scene's mints and clock, in which pools of them are made.
    fn chain(&mut self, program: Address, elf: &[u8]) -> Chain {
        let mut chain = Chain::new(program, elf);
        chain.svm.set_sysvar(&self.world.svm().get_sysvar::<solana_clock::Clock>());
        let mut pair = self.mints().map(|mint| (mint, self.world.account(&mint).unwrap()));
        pair.sort_unstable_by_key(|(mint, _)| *mint);
        chain.pair = Some(pair);
        chain
    }

    /// Puts what was made on the chain into the fork.
    fn take(&mut self, chain: &Chain) {
        for key in &chain.touched {
            let Some(mut account) = chain.svm.get_account(key) else { continue };
            let is_code = account.executable || account.owner == solana_sdk_ids::sysvar::ID;
            let is_wallet = account.owner == system_program::ID;
            if is_code || is_wallet || self.mints().contains(key) || *key == chain.user {
                continue;
            }
            // Wrapped SOL is what lies there in lamports.
            if account.data.len() >= 165 && account.data[..32] == NATIVE_MINT.to_bytes() {
                account.lamports += u64::from_le_bytes(account.data[64..72].try_into().unwrap());
            }
            self.world.set_account(key, account).unwrap();
        }
    }

    /// Sells what a liquidation brings into a pool that `make` makes, and holds what the
    /// receiver saw against the quote.
    pub fn sells_inside(
        &mut self,
        name: &str,
        (program, elf): (Address, &[u8]),
        start: impl Fn(&mut Chain),
        mut make: impl FnMut(&mut Chain, &mut Dice, u64) -> Market,
    ) {
        // What comes in, seen where nothing is sold.
        let rehearsal = self.rehearsal();
        let before = self.world.svm().clone();
        let received = self.send(&rehearsal, None).collateral_received;
        *self.world.svm() = before;
        // This one's administrators have no way to allow such mints: there the pool is older
        // than what its mints have.
        let are_late = program == raydium_cpmm::PROGRAM_ID;
        if !are_late {
            self.extend_mints(None);
        }

        let mut chain = self.chain(program, elf);
        start(&mut chain);
        let mut dice = Dice::new(11);
        let [sold, bought] = self.mints();
        let found = (1..=MOST_POOLS).find_map(|number| {
            let market = make(&mut chain, &mut dice, number);
            let pool = market.read(&mut chain);
            let curve = match pool.curve(&sold, &chain, &chain.now()) {
                Ok(curve) => curve,
                Err(VenueError::NoLiquidity { .. }) => return None,
                Err(error) => panic!("{error}"),
            };
            curve.quote(received).ok().filter(|quote| quote.amount_out < PLENTY).map(|_| market)
        });
        let Some(market) = found else { panic!("{name}: no pool takes {received}") };
        self.take(&chain);
        let clock: solana_clock::Clock = chain.svm.get_sysvar();
        self.world.set_clock(clock.slot, clock.unix_timestamp);
        self.world.restamp_prices().unwrap();
        self.world.deploy(&program, elf).unwrap();
        if are_late {
            self.extend_mints(Some(&mut chain));
        }
        let pool = market.read(&mut chain);
        let curve = pool.curve(&sold, &chain, &chain.now()).unwrap();
        let quote = curve.quote(received).unwrap();

        let [withdraw, repay] =
            [&self.collateral, &self.debt].map(|key| self.world.reserve_addresses(key).unwrap());
        let keeper = self.keeper.pubkey();
        let authority = swap_authority(&keeper).0;
        self.world.open_token_account(&authority, &sold).unwrap();
        let mut rehearsal = self.rehearsal();
        let mut route = Route::new(&keeper, &withdraw, &repay);
        route.swap_debt = None;
        let trade = Trade {
            authority,
            input: swap::side(&withdraw, route.swap_collateral),
            output: swap::side(&repay, rehearsal.keeper_accounts.debt),
            amount: Amount::All(received),
            min_out: quote.amount_out,
            token: 0,
        };
        route.legs = vec![curve.leg(&trade).unwrap()];
        rehearsal.route = Some(route);
        let event = self.send(&rehearsal, Some(quote.units));
        assert_eq!((event.collateral_sold, event.swap_proceeds), (received, quote.amount_out));
        assert_eq!((event.collateral_mint, event.debt_mint), (sold, bought));
        eprintln!("{name}: {received} sold for {} inside a liquidation", quote.amount_out);
    }

    /// Gives both mints their extensions, on the chain of the pools too.
    fn extend_mints(&mut self, mut chain: Option<&mut Chain>) {
        if self.extensions.is_empty() {
            return;
        }
        for mint in self.mints() {
            let mut account: Account = self.world.account(&mint).unwrap();
            assert_eq!(account.owner, TOKEN_2022_PROGRAM_ID);
            account.data = extended(&account.data, &self.extensions);
            account.lamports = 1 << 40;
            self.world.set_account(&mint, account.clone()).unwrap();
            if let Some(chain) = &mut chain {
                chain.svm.set_account(mint, account).unwrap();
            }
        }
    }
}

/// Extensions that libraries of 2024 and before do not know.
const NEWEST: [u16; 2] = [25, 26];

/// What xStocks have.
fn extensions() -> Vec<Extension> {
    let authority = [9; 32];
    // Twice as much is shown, now and from whenever on.
    let two = 2f64.to_le_bytes();
    vec![
        // An authority, accounts are not approved by themselves (klend wants that), no auditor.
        ("confidential transfers", 4, [&authority[..], &[0], &[0; 32]].concat()),
        ("default state (initialised)", 6, vec![1]),
        ("permanent delegate", 12, authority.to_vec()),
        ("transfer hook (no program)", 14, [authority, [0; 32]].concat()),
        ("metadata pointer", 18, [authority, [0; 32]].concat()),
        ("scaled amounts", 25, [&authority[..], &two, &[0; 8], &two].concat()),
        ("pausable", 26, [&authority[..], &[0]].concat()),
    ]
}

/// A mint with these.
fn extended(mint: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let mut data = mint[..82].to_vec();
    data.resize(165, 0);
    data.push(1);
    for (_, kind, value) in extensions {
        data.extend(kind.to_le_bytes());
        data.extend((value.len() as u16).to_le_bytes());
        data.extend(value);
    }
    data
}
