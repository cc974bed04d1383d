//! A virtual machine kept warm for simulating one transaction after the other.

use flash_liquidator_client::{budget::compile_v0, transaction::transaction_bytes};
use solana_account::{Account, AccountSharedData};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_transaction::versioned::VersionedTransaction;

use crate::{
    error::ForkError,
    send::{Failure, Outcome},
    world::World,
};

/// A [`World`] whose programs stay loaded while accounts are put into it, and that
/// executes what nobody has signed yet.
#[derive(Clone)]
pub struct Machine {
    world: World,
}

impl Machine {
    /// Keeps `world` warm.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world: world.without_signatures() }
    }

    /// What it executes in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether a program is loaded.
    #[must_use]
    pub fn has_program(&self, key: &Address) -> bool {
        self.world.is_program(key)
    }

    /// Puts an account in, or takes it out; programs that are loaded stay as they are.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when the machine does not take it.
    pub fn set(&mut self, key: &Address, account: Option<&Account>) -> Result<(), ForkError> {
        if self.has_program(key) {
            return Ok(());
        }
        self.world.set_account(key, account.cloned().unwrap_or_default())
    }

    /// The moment transactions are executed at.
    pub fn set_clock(&mut self, slot: u64, unix_timestamp: i64) {
        self.world.set_clock(slot, unix_timestamp);
    }

    /// A lookup table of all that `instructions` may look up, for a simulation where
    /// none is at hand.
    ///
    /// # Errors
    /// [`ForkError::Refused`] when the machine does not take it.
    pub fn table_for(
        &mut self,
        instructions: &[Instruction],
        payer: &Address,
    ) -> Result<AddressLookupTableAccount, ForkError> {
        self.world.table_for(instructions, payer)
    }

    /// What a v0 transaction of these instructions would do; nothing changes by it.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome, or [`ForkError::Assemble`].
    pub fn simulate(
        &mut self,
        payer: &Address,
        instructions: &[Instruction],
        tables: &[AddressLookupTableAccount],
    ) -> Result<Outcome, ForkError> {
        self.try_out(payer, instructions, tables).map(|(outcome, _)| outcome)
    }

    /// What a transaction of these instructions would make of an account; nothing changes
    /// by it.
    ///
    /// # Errors
    /// As [`Self::simulate`].
    pub fn account_after(
        &mut self,
        payer: &Address,
        instructions: &[Instruction],
        key: &Address,
    ) -> Result<Account, ForkError> {
        let (_, written) = self.try_out(payer, instructions, &[])?;
        let written = written.into_iter().find(|(at, _)| at == key);
        Ok(match written {
            Some((_, account)) => account.into(),
            None => self.world.account(key).unwrap_or_default(),
        })
    }

    fn try_out(
        &mut self,
        payer: &Address,
        instructions: &[Instruction],
        tables: &[AddressLookupTableAccount],
    ) -> Result<(Outcome, Vec<(Address, AccountSharedData)>), ForkError> {
        let svm = self.world.svm();
        let message = compile_v0(payer, instructions, tables, svm.latest_blockhash())?;
        let bytes = transaction_bytes(&message);
        let signed = usize::from(message.header().num_required_signatures);
        let signatures = vec![Default::default(); signed];
        match svm.simulate_transaction(VersionedTransaction { signatures, message }) {
            Ok(simulated) => Ok((Outcome::new(simulated.meta, bytes), simulated.post_accounts)),
            Err(failed) => {
                let outcome = Outcome::new(failed.meta, bytes);
                Err(Box::new(Failure { error: failed.err, outcome }).into())
            }
        }
    }
}
