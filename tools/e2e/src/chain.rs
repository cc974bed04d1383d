//! The cluster, as a client sees it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use flash_liquidator_client::budget::compile_v0;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_rpc_client::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    config::{CommitmentConfig, RpcSendTransactionConfig},
    request::{RpcError, RpcRequest, RpcResponseErrorData},
};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

/// How long a transaction may take to be confirmed.
const CONFIRMATION: Duration = Duration::from_secs(180);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// Signatures that one `getSignatureStatuses` may ask for.
const STATUSES: usize = 256;

/// A client of the local cluster.
pub struct Chain {
    client: RpcClient,
}

impl Chain {
    /// A client of the node at `url`.
    pub fn new(url: &str) -> Self {
        let commitment = CommitmentConfig::confirmed();
        Self { client: RpcClient::new_with_commitment(url.to_owned(), commitment) }
    }

    /// Name and version of what answers.
    pub fn version(&self) -> Result<String> {
        let version = self.client.get_version()?;
        Ok(format!("Agave {}", version.solana_core))
    }

    /// The newest confirmed slot.
    pub fn slot(&self) -> Result<u64> {
        Ok(self.client.get_slot()?)
    }

    /// Waits until a slot is confirmed.
    pub fn wait_for_slot(&self, slot: u64, limit: Duration) -> Result<u64> {
        let started = Instant::now();
        loop {
            let now = self.slot()?;
            if now >= slot {
                return Ok(now);
            }
            if started.elapsed() >= limit {
                bail!("slot {slot} did not come within {} s: it is {now}", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    /// An account, if it is there.
    pub fn account(&self, key: &Address) -> Result<Option<Account>> {
        let confirmed = CommitmentConfig::confirmed();
        Ok(self.client.get_account_with_commitment(key, confirmed)?.value)
    }

    /// Accounts by key, as many as one call tells, and the slot they are of.
    pub fn accounts(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let confirmed = CommitmentConfig::confirmed();
        let answer = self.client.get_multiple_accounts_with_commitment(keys, confirmed)?;
        Ok((answer.context.slot, answer.value))
    }

    /// Signatures of transactions that name an account, the newest first, down to the one
    /// after `until`.
    pub fn signatures_of(&self, account: &Address, until: Option<&str>) -> Result<Vec<String>> {
        const MOST: usize = 1_000;
        let (mut all, mut before) = (Vec::<String>::new(), None);
        loop {
            let params = json!([account.to_string(), {
                "commitment": "confirmed", "limit": MOST, "until": until, "before": before,
            }]);
            let page: Vec<Value> = self.client.send(RpcRequest::GetSignaturesForAddress, params)?;
            let is_last = page.len() < MOST;
            let named = |one: &Value| Some(one["signature"].as_str()?.to_owned());
            all.extend(page.iter().filter_map(named));
            before = all.last().cloned();
            if is_last {
                return Ok(all);
            }
        }
    }

    /// A transaction as `getTransaction` answers.
    pub fn transaction(&self, signature: &str) -> Result<Value> {
        let params = json!([signature, {
            "encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0,
        }]);
        Ok(self.client.send(RpcRequest::GetTransaction, params)?)
    }

    /// An account that has to be there.
    pub fn wanted(&self, what: &str, key: &Address) -> Result<Account> {
        self.account(key)?.with_context(|| format!("{what} {key} is not there"))
    }

    /// Lamports of an account; 0 without one.
    pub fn lamports(&self, key: &Address) -> Result<u64> {
        Ok(self.account(key)?.map_or(0, |account| account.lamports))
    }

    /// Units in a token account; 0 without one.
    pub fn tokens(&self, token_account: &Address) -> Result<u64> {
        const AMOUNT_OFFSET: usize = 64;
        let Some(account) = self.account(token_account)? else { return Ok(0) };
        account
            .data
            .get(AMOUNT_OFFSET..)
            .and_then(|tail| tail.first_chunk())
            .copied()
            .map(u64::from_le_bytes)
            .with_context(|| format!("{token_account} is no token account"))
    }

    /// Lamports that keep an account of `len` bytes.
    pub fn rent(&self, len: usize) -> Result<u64> {
        Ok(self.client.get_minimum_balance_for_rent_exemption(len)?)
    }

    /// Sends instructions, after the node's preflight, and waits for the
    /// confirmation. The first signer pays.
    ///
    /// # Errors
    /// Why it failed, with the program's log.
    pub fn send(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Result<Signature> {
        let transaction = self.sign(instructions, signers)?;
        let signature =
            self.client.send_transaction(&transaction).map_err(|error| explain(&error))?;
        self.confirm(&[(signature, transaction)])?;
        Ok(signature)
    }

    /// Sends many transactions that do not depend on each other, without preflight, and
    /// waits for all of them.
    pub fn send_all(&self, transactions: &[Vec<Instruction>], signers: &[&Keypair]) -> Result<()> {
        let each: Vec<_> = transactions.iter().map(|all| (all.clone(), signers.to_vec())).collect();
        self.confirm(&self.begin(&each)?)
    }

    /// Sends transactions of several senders and waits for all of them.
    pub fn send_each(&self, transactions: &[(Vec<Instruction>, Vec<&Keypair>)]) -> Result<()> {
        self.confirm(&self.begin(transactions)?)
    }

    /// Sends transactions, whatever becomes of them.
    pub fn begin(
        &self,
        transactions: &[(Vec<Instruction>, Vec<&Keypair>)],
    ) -> Result<Vec<(Signature, VersionedTransaction)>> {
        let mut sent = Vec::with_capacity(transactions.len());
        for (instructions, signers) in transactions {
            let transaction = self.sign(instructions, signers)?;
            sent.push((self.hand_over(&transaction)?, transaction));
        }
        Ok(sent)
    }

    /// What the node's simulation says instead of success.
    pub fn refusal(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Result<String> {
        let transaction = self.sign(instructions, signers)?;
        match self.client.send_transaction(&transaction) {
            Ok(signature) => bail!("{signature} was accepted"),
            Err(error) => Ok(format!("{:#}", explain(&error))),
        }
    }

    fn sign(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<VersionedTransaction> {
        let payer = signers.first().context("nobody signs")?.pubkey();
        let blockhash = self.client.get_latest_blockhash()?;
        let message = compile_v0(&payer, instructions, &[], blockhash)?;
        Ok(VersionedTransaction::try_new(message, signers)?)
    }

    fn hand_over(&self, transaction: &VersionedTransaction) -> Result<Signature> {
        let config = RpcSendTransactionConfig {
            skip_preflight: true,
            ..RpcSendTransactionConfig::default()
        };
        Ok(self.client.send_transaction_with_config(transaction, config)?)
    }

    /// Waits until all are confirmed, sending again what seems lost.
    fn confirm(&self, sent: &[(Signature, VersionedTransaction)]) -> Result<()> {
        const RESEND: Duration = Duration::from_secs(3);
        let started = Instant::now();
        let mut resent = Instant::now();
        let mut open: Vec<_> = sent.iter().collect();
        loop {
            let mut unseen = Vec::new();
            for chunk in open.chunks(STATUSES) {
                let signatures: Vec<Signature> = chunk.iter().map(|(at, _)| *at).collect();
                let statuses = self.client.get_signature_statuses(&signatures)?.value;
                for (one, status) in chunk.iter().zip(statuses) {
                    match status {
                        Some(status) if status.err.is_some() => {
                            bail!("{} failed: {:?}", one.0, status.err);
                        }
                        Some(status)
                            if status.satisfies_commitment(CommitmentConfig::confirmed()) => {}
                        _ => unseen.push(*one),
                    }
                }
            }
            open = unseen;
            let Some((signature, _)) = open.first() else { return Ok(()) };
            if started.elapsed() >= CONFIRMATION {
                bail!(
                    "{} of {} transactions were not confirmed, {signature} first",
                    open.len(),
                    sent.len()
                );
            }
            if resent.elapsed() >= RESEND {
                resent = Instant::now();
                for (_, transaction) in &open {
                    self.hand_over(transaction)?;
                }
            }
            thread::sleep(POLL);
        }
    }
}

/// A node's answer with the logs of its simulation.
fn explain(error: &ClientError) -> anyhow::Error {
    let mut text = error.to_string();
    if let ErrorKind::RpcError(RpcError::RpcResponseError {
        data: RpcResponseErrorData::SendTransactionPreflightFailure(simulated),
        ..
    }) = error.kind()
    {
        for line in simulated.logs.iter().flatten() {
            text.push_str("\n    ");
            text.push_str(line);
        }
    }
    anyhow::Error::msg(text)
}
