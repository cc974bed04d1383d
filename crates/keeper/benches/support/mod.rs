//! What the benchmarks of the keeper share.

use std::{collections::BTreeMap, sync::Mutex};

use anyhow::{Result, anyhow};
use klend_flash_keeper::feeds::source::{Filter, Progress, Source, Visitor};
use klend_fork::World;
use klend_model::time::Clock;
use solana_account::Account;
use solana_address::Address;

/// Accounts in memory.
pub struct Memory {
    pub world: Mutex<World>,
    pub clock: Clock,
    /// Obligations beside those of the world.
    pub obligations: BTreeMap<Address, Account>,
    pub market: Address,
}

impl Source for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn clock(&self) -> Result<Clock> {
        Ok(self.clock)
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let world = self.world.lock().map_err(|_| anyhow!("it broke down"))?;
        let account = |key| world.account(key).or_else(|| self.obligations.get(key).cloned());
        Ok((self.clock.slot, keys.iter().map(account).collect()))
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let mut world = self.world.lock().map_err(|_| anyhow!("it broke down"))?;
        let mut accounts = world.svm().get_program_accounts(program);
        accounts.retain(|(_, account)| filter.accepts(&account.data));
        Ok(accounts)
    }

    fn visit_obligations(&self, market: &Address, _: Progress, visit: Visitor) -> Result<()> {
        if *market == self.market {
            for (key, account) in &self.obligations {
                visit(self.clock.slot, key, account);
            }
        }
        Ok(())
    }

    fn world(&self, _: &[Address]) -> Result<World> {
        Ok(self.world.lock().map_err(|_| anyhow!("it broke down"))?.clone())
    }
}
