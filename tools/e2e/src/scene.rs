//! What the cluster begins with: klend's accounts, wallets, programs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use klend_fork::{NATIVE_MINT, Pool, Programs, World, deploy_folder};
use solana_account::Account;
use solana_address::Address;
use solana_keypair::Keypair;
use solana_signer::Signer;

use flash_liquidator_client::klend::ReserveAddresses;

/// SOL of a wallet.
const WALLET_LAMPORTS: u64 = 100_000_000_000;
/// SOL that each borrower has to deposit, lamports.
pub const DEPOSIT: u64 = 1_000_000_000_000;
/// Worth of each side of a pool, US dollars.
const POOL_DEPTH_USD: u64 = 50_000_000;
/// Fee of a pool.
const POOL_FEE_BPS: u16 = 5;
/// Price at which the pools sell SOL, per cent of the oracle's first price.
const POOL_PRICE_PERCENT: u64 = 80;
/// SOL that each of the crowd has to deposit, lamports.
const SOL_OF_ONE: u64 = 10_000_000_000_000;
/// Units of every token that the arbitrageur has: enough to move a pool anywhere.
const ARBITRAGE_UNITS: u64 = 1_000_000_000_000_000;
/// Lamports that keep any mint.
const RENT_OF_MINT: u64 = 10_000_000;
/// The slot the accounts are of. The cluster begins with slot 0.
const SLOT: u64 = 1;
/// How old the accounts are.
const AGE_SECONDS: i64 = 60;

/// A program that is there from the start.
pub struct DeployedProgram {
    /// Its address.
    pub id: Address,
    /// Its code.
    pub elf: PathBuf,
}

/// The cluster's first accounts, and the keys that act in it.
pub struct Scene {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// Programs.
    pub programs: Vec<DeployedProgram>,
    /// klend's accounts as they were at the start: for addresses and prices. Nothing is
    /// executed in it.
    pub world: World,
    /// Reserve of the collateral.
    pub sol: ReserveAddresses,
    /// Reserve of the first debt.
    pub usdc: ReserveAddresses,
    /// Reserve of the second debt: a Token-2022 mint with a debt farm.
    pub pyusd: ReserveAddresses,
    /// Who liquidates.
    pub keeper: Keypair,
    /// The keeper's key file.
    pub keeper_file: PathBuf,
    /// Who moves prices.
    pub publisher: Keypair,
    /// Who deploys.
    pub deployer: Keypair,
    /// The deployer's key file.
    pub deployer_file: PathBuf,
    /// Who may change nothing.
    pub stranger: Keypair,
    /// Owners of the positions.
    pub borrowers: [Keypair; 3],
    /// Owners of many more, for the soak.
    pub crowd: Vec<Keypair>,
    /// Keepers that race each other in the soak.
    pub racers: [Keypair; 2],
    /// Who keeps the pools at the oracle's price in the soak, and may pause the second debt's
    /// mint.
    pub arbitrageur: Keypair,
    /// Pools of SOL and each debt.
    pub pools: [Pool; 2],
}

impl Scene {
    /// Writes the accounts and the programs into `folder`; `crowd` borrowers are there
    /// besides the three.
    ///
    /// # Errors
    /// When the programs have not been built, or a file cannot be written.
    pub fn new(folder: &Path, crowd: usize) -> Result<Self> {
        let mut world = World::builtin()?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        // The cluster's clock follows votes and may be a little behind.
        let before = now - AGE_SECONDS;
        world.set_clock(SLOT, before);
        for key in world.reserves()?.into_keys() {
            world.edit_reserve(&key, |reserve| {
                reserve.last_update.slot = SLOT;
                let config = &mut reserve.config;
                for cap in [&mut config.deposit_withdrawal_cap, &mut config.debt_withdrawal_cap] {
                    cap.last_interval_start_timestamp = before.cast_unsigned();
                }
            })?;
        }
        world.restamp_prices()?;
        let named =
            |world: &World, symbol: &str| world.reserve_addresses(&world.reserve_named(symbol)?);
        let (sol, usdc, pyusd) =
            (named(&world, "SOL")?, named(&world, "USDC")?, named(&world, "PYUSD")?);

        // Pools sell at the price that is to come: nobody gains from a price that only
        // the oracle has left.
        let price = world.price(&sol.reserve)?;
        let pool_price = price.scaled(POOL_PRICE_PERCENT, 100).context("a price of zero")?;
        world.set_price(&sol.reserve, pool_price)?;
        let mut pool = |debt: &ReserveAddresses| {
            let (depth, fee) = (POOL_DEPTH_USD, POOL_FEE_BPS);
            world.create_pool_at_oracle_price(&sol.reserve, &debt.reserve, depth, fee)
        };
        let pools = [pool(&usdc)?, pool(&pyusd)?];
        world.set_price(&sol.reserve, price)?;

        let borrowers = [(); 3].map(|()| Keypair::new());
        let [keeper, publisher, deployer, stranger] = [(); 4].map(|()| Keypair::new());
        for borrower in &borrowers {
            world.give(&borrower.pubkey(), &NATIVE_MINT, DEPOSIT)?;
        }
        let crowd: Vec<Keypair> = std::iter::repeat_with(Keypair::new).take(crowd).collect();
        for one in &crowd {
            world.give(&one.pubkey(), &NATIVE_MINT, SOL_OF_ONE)?;
        }
        let racers = [(); 2].map(|()| Keypair::new());
        let arbitrageur = Keypair::new();
        for reserve in [&sol, &usdc, &pyusd] {
            world.give(&arbitrageur.pubkey(), &reserve.liquidity_mint, ARBITRAGE_UNITS)?;
        }

        let mut snapshot = world.snapshot();
        for Pool { pool, .. } in pools {
            snapshot.accounts.insert(pool, world.account(&pool).context("a pool is gone")?);
        }
        let wallets = borrowers.iter().chain(&crowd).chain(&racers);
        for wallet in wallets.chain([&keeper, &publisher, &deployer, &stranger, &arbitrageur]) {
            let account = Account {
                lamports: WALLET_LAMPORTS,
                owner: solana_sdk_ids::system_program::ID,
                ..Account::default()
            };
            snapshot.accounts.insert(wallet.pubkey(), account);
        }
        let mint = snapshot.accounts.get_mut(&pyusd.liquidity_mint).context("a mint is gone")?;
        make_pausable(mint, &arbitrageur.pubkey());
        snapshot.write(&folder.join("genesis"))?;

        let keeper_file = write_key(&folder.join("keeper-keypair.json"), &keeper)?;
        let deployer_file = write_key(&folder.join("deployer-keypair.json"), &deployer)?;
        let programs = write_programs(&folder.join("programs"))?;
        Ok(Self {
            folder: folder.to_owned(),
            programs,
            world,
            sol,
            usdc,
            pyusd,
            keeper,
            keeper_file,
            publisher,
            deployer,
            deployer_file,
            stranger,
            borrowers,
            crowd,
            racers,
            arbitrageur,
            pools,
        })
    }

    /// Who may upgrade the programs that are there from the start.
    pub fn upgrade_authority(&self) -> Address {
        self.deployer.pubkey()
    }
}

/// Lets `authority` pause a mint of Token-2022, as Token-2022 writes it: behind the mint's own
/// bytes and padding, type and length of the extension, who may, and that it is not.
fn make_pausable(mint: &mut Account, authority: &Address) {
    const BASE: usize = 165;
    const MINT: u8 = 1;
    const PAUSABLE: [u8; 4] = [26, 0, 33, 0];
    if mint.data.len() <= BASE {
        mint.data.resize(BASE, 0);
        mint.data.push(MINT);
    }
    mint.data.extend([&PAUSABLE, authority.as_ref(), &[0]].concat());
    mint.lamports = mint.lamports.max(RENT_OF_MINT);
}

/// Writes a key file.
pub fn write_key(path: &Path, key: &Keypair) -> Result<PathBuf> {
    fs::write(path, serde_json::to_string(&key.to_bytes().to_vec())?)?;
    Ok(path.to_owned())
}

/// The programs of the tests, and Scope's stand-in, which a virtual machine does
/// without.
fn write_programs(folder: &Path) -> Result<Vec<DeployedProgram>> {
    fs::create_dir(folder)?;
    let scope = deploy_folder().join("scope_stand_in.so");
    let scope = fs::read(&scope).with_context(|| format!("{}", scope.display()))?;
    let programs = Programs::from_environment()?.0.into_iter().map(|p| (p.id, p.elf));
    programs
        .chain([(scope_stand_in::ID, scope)])
        .map(|(id, code)| {
            let elf = folder.join(format!("{id}.so"));
            fs::write(&elf, code)?;
            Ok(DeployedProgram { id, elf })
        })
        .collect()
}
