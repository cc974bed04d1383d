//! Transactions.

use flash_liquidator_client::{budget::compile_v0, transaction::transaction_bytes};
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use super::World;
use crate::{
    error::ForkError,
    send::{Failure, Outcome},
};

impl World {
    /// Sends instructions in one v0 transaction without lookup tables. The first
    /// signer pays; signers that are not needed are ignored.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome when the transaction fails,
    /// [`ForkError::Assemble`] or [`ForkError::Sign`] when it cannot be made.
    pub fn send<S: Signer + ?Sized>(
        &mut self,
        instructions: &[Instruction],
        signers: &[&S],
    ) -> Result<Outcome, ForkError> {
        self.send_v0(instructions, signers, &[])
    }

    /// Sends instructions in one v0 transaction that looks up what it can in
    /// `tables`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_v0<S: Signer + ?Sized>(
        &mut self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<Outcome, ForkError> {
        let transaction = self.sign_v0(instructions, signers, tables)?;
        self.send_transaction(transaction)
    }

    /// What [`send_v0`](Self::send_v0) would do, without doing it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn simulate_v0<S: Signer + ?Sized>(
        &self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<Outcome, ForkError> {
        self.clone().send_v0(instructions, signers, tables)
    }

    /// A signed v0 transaction of these instructions.
    ///
    /// # Errors
    /// [`ForkError::Assemble`] or [`ForkError::Sign`].
    pub fn sign_v0<S: Signer + ?Sized>(
        &self,
        instructions: &[Instruction],
        signers: &[&S],
        tables: &[AddressLookupTableAccount],
    ) -> Result<VersionedTransaction, ForkError> {
        let payer = signers.first().ok_or_else(|| ForkError::Sign("nobody signs".to_owned()))?;
        let message =
            compile_v0(&payer.pubkey(), instructions, tables, self.svm.latest_blockhash())?;
        sign(message, signers)
    }

    /// Sends a signed transaction. A new blockhash follows, so that the same
    /// instructions can be sent again.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn send_transaction(
        &mut self,
        transaction: VersionedTransaction,
    ) -> Result<Outcome, ForkError> {
        let bytes = transaction_bytes(&transaction.message);
        let result = self.svm.send_transaction(transaction);
        self.svm.expire_blockhash();
        match result {
            Ok(meta) => Ok(Outcome::new(meta, bytes)),
            Err(failed) => Err(Box::new(Failure {
                error: failed.err,
                outcome: Outcome::new(failed.meta, bytes),
            })
            .into()),
        }
    }
}

fn sign<S: Signer + ?Sized>(
    message: VersionedMessage,
    signers: &[&S],
) -> Result<VersionedTransaction, ForkError> {
    let needed = usize::from(message.header().num_required_signatures);
    let keys: Vec<_> = message.static_account_keys().iter().take(needed).copied().collect();
    let mut needed_signers: Vec<&S> = Vec::with_capacity(needed);
    for key in &keys {
        let signer = signers.iter().find(|signer| signer.pubkey() == *key);
        needed_signers.push(signer.ok_or_else(|| ForkError::Sign(format!("{key} does not sign")))?);
    }
    VersionedTransaction::try_new(message, &needed_signers)
        .map_err(|error| ForkError::Sign(error.to_string()))
}
