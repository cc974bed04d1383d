use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result, anyhow};
use klend_fork::{Position, Programs, World};
use klend_model::{constants::KLEND_PROGRAM_ID, time::Clock, version::KlendVersion};
use solana_account::Account;
use solana_address::Address;

use super::{Filter, Progress, Source, Visitor};

/// Worth of the sample pool's tokens on each side, US dollars.
const POOL_DEPTH_USD: u64 = 50_000_000;
/// SOL that each sample position deposits.
const DEPOSITED_SOL: u64 = 1_000;
/// Fee of the sample pool.
const POOL_FEE_BPS: u16 = 5;

/// The built-in fork: main-market figures, with sample positions to look at and
/// a pool to sell in.
pub struct BuiltinFork {
    world: Mutex<World>,
    told: OnceLock<KlendVersion>,
}

impl BuiltinFork {
    /// Makes the world, opens a risky and a careful position, and lets SOL fall
    /// by a fifth, so that the risky one can be liquidated.
    pub fn new() -> Result<Self> {
        let mut world = World::builtin()?;
        let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
        let price = world.price(&sol)?.to_f64();
        for (name, ltv) in [("borrower at risk", 0.62), ("careful borrower", 0.3)] {
            let borrowed = (DEPOSITED_SOL as f64 * price * ltv * 1e6) as u64;
            let deposits = [(sol, DEPOSITED_SOL * 1_000_000_000)];
            let borrows = [(usdc, borrowed)];
            let borrower = world.actor(name);
            world.open_position(&borrower, &Position::new(&deposits, &borrows))?;
        }
        let fallen = world.price(&sol)?.scaled(80, 100).context("a fifth less is still a price")?;
        world.set_price(&sol, fallen)?;
        world.create_pool_at_oracle_price(&sol, &usdc, POOL_DEPTH_USD, POOL_FEE_BPS)?;
        Ok(Self::of(world))
    }

    /// The built-in fork as somebody has arranged it.
    pub fn of(world: World) -> Self {
        Self { world: Mutex::new(world), told: OnceLock::new() }
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, World>> {
        self.world.lock().map_err(|_| anyhow!("the built-in fork broke down earlier"))
    }
}

impl Source for BuiltinFork {
    fn name(&self) -> String {
        "the built-in fork".to_owned()
    }

    fn take_for(&self, klend: KlendVersion) {
        let _ = self.told.set(klend);
    }

    fn klend(&self) -> Result<KlendVersion> {
        Ok(self.told.get().copied().map_or_else(Programs::klend_version, Ok)?)
    }

    fn clock(&self) -> Result<Clock> {
        let world = self.lock()?;
        Ok(Clock { slot: world.slot(), unix_timestamp: u64::try_from(world.unix_timestamp())? })
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let world = self.lock()?;
        Ok((world.slot(), keys.iter().map(|key| world.account(key)).collect()))
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let mut accounts = self.lock()?.svm().get_program_accounts(program);
        accounts.retain(|(_, account)| filter.accepts(&account.data));
        accounts.sort_by_key(|(key, _)| *key);
        Ok(accounts)
    }

    fn visit_obligations(
        &self,
        market: &Address,
        progress: Progress,
        visit: Visitor,
    ) -> Result<()> {
        let accounts = self.program_accounts(&KLEND_PROGRAM_ID, Filter::indebted(market))?;
        let (slot, total) = (self.lock()?.slot(), accounts.len());
        for (done, (key, account)) in accounts.iter().enumerate() {
            visit(slot, key, account);
            progress(done + 1, total);
        }
        Ok(())
    }

    fn world(&self, _keys: &[Address]) -> Result<World> {
        Ok(self.lock()?.clone())
    }
}
