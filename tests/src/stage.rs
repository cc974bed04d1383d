//! A keeper in front of an unhealthy obligation.

use std::sync::{LazyLock, Mutex, PoisonError};

use flash_liquidator_client::{
    budget::{compile_v0, compile_v1},
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    receiver,
};
use klend_fork::{ForkError, Outcome, Pool, Position, Rehearsal, World};
use solana_account::Account;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_program_pack::Pack;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use spl_token_interface::state::Account as TokenAccount;

use crate::{Invariants, Plan, bank};

/// Principal of the usual flash loan: 20,000 USDC.
pub const LOAN: u64 = 20_000_000_000;

/// An obligation with 1,000 SOL of collateral and 110,000 USDC of debt whose
/// collateral lost a fifth of its value, a keeper without any tokens, and a pool
/// that buys SOL for USDC.
pub struct Stage {
    /// Where it all happens.
    pub world: World,
    /// Liquidator; pays for transactions.
    pub keeper: Keypair,
    /// Somebody who wishes the keeper ill. Signs transactions that name it.
    pub thief: Keypair,
    /// The obligation.
    pub obligation: Address,
    /// Reserve of the collateral.
    pub sol: Address,
    /// Reserve of the debt.
    pub usdc: Address,
    /// Where collateral is sold.
    pub pool: Pool,
    /// What executes transactions.
    pub runtime: Runtime,
    /// Whether the receiver has a check switched off.
    is_mutant: bool,
}

/// What executes transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// LiteSVM.
    LiteSvm,
    /// LiteSVM, with transactions of the format v1, which has no lookup tables.
    LiteSvmV1,
    /// The bank of solana-program-test.
    Bank,
}

impl Clone for Stage {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            keeper: self.keeper.insecure_clone(),
            thief: self.thief.insecure_clone(),
            obligation: self.obligation,
            sol: self.sol,
            usdc: self.usdc,
            pool: self.pool,
            runtime: self.runtime,
            is_mutant: self.is_mutant,
        }
    }
}

impl Stage {
    /// The stage, set up once per test binary and cloned.
    #[must_use]
    pub fn new() -> Self {
        static STAGE: LazyLock<Mutex<Stage>> =
            LazyLock::new(|| Mutex::new(Stage::set_up().expect("the stage can be set up")));
        STAGE.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_up() -> Result<Self, ForkError> {
        let mut world = World::builtin()?;
        let [keeper, thief, borrower] =
            ["keeper", "thief", "borrower"].map(|name| world.actor(name));
        let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
        let obligation = world.open_position(
            &borrower,
            &Position::new(&[(sol, 1_000_000_000_000)], &[(usdc, 110_000_000_000)]),
        )?;
        let price = world.price(&sol)?;
        world.set_price(&sol, price.scaled(80, 100).expect("four fifths of a price"))?;
        let pool = world.create_pool_at_oracle_price(&sol, &usdc, 100_000_000, 30)?;
        Ok(Self {
            world,
            keeper,
            thief,
            obligation,
            sol,
            usdc,
            pool,
            runtime: Runtime::LiteSvm,
            is_mutant: false,
        })
    }

    /// A liquidation with [`LOAN`] that keeps the collateral.
    #[must_use]
    pub fn rehearsal(&mut self) -> Rehearsal {
        let (keeper, obligation) = (self.keeper.pubkey(), self.obligation);
        Rehearsal::new(&mut self.world, &keeper, &obligation, &self.usdc, &self.sol, LOAN)
            .expect("reserves and mints of the stage")
    }

    /// A liquidation that keeps the collateral, and consents to what that costs
    /// in debt tokens.
    #[must_use]
    pub fn unsold(&mut self) -> Plan {
        let mut rehearsal = self.rehearsal();
        rehearsal.terms.min_profit = i64::MIN;
        self.plan(&rehearsal)
    }

    /// A liquidation that sells the collateral; the pool pays the keeper itself.
    #[must_use]
    pub fn sold(&mut self) -> Plan {
        let pool = self.pool;
        let rehearsal = self
            .rehearsal()
            .sell_through(&mut self.world, &[pool])
            .expect("the pool trades collateral for debt");
        self.plan(&rehearsal)
    }

    /// A liquidation that sells the collateral; the pool pays the swap authority.
    #[must_use]
    pub fn sold_through_authority(&mut self) -> Plan {
        let pool = self.pool;
        let rehearsal = self
            .rehearsal()
            .sell_through(&mut self.world, &[pool])
            .and_then(|rehearsal| rehearsal.pay_swap_authority(&mut self.world))
            .expect("the pool trades collateral for debt");
        self.plan(&rehearsal)
    }

    /// The instructions of a rehearsal, to be bent. Token accounts of the keeper,
    /// the swap authority and the thief exist for both mints.
    #[must_use]
    pub fn plan(&mut self, rehearsal: &Rehearsal) -> Plan {
        let instructions =
            rehearsal.instructions(&self.world).expect("everything a liquidation names is there");
        for owner in [self.keeper.pubkey(), self.swap_authority(), self.thief.pubkey()] {
            for reserve in [self.sol, self.usdc] {
                let mint = self.mint(&reserve);
                self.world.open_token_account(&owner, &mint).expect("a mint of the stage");
            }
        }
        Plan::new(instructions)
    }

    /// The keeper's swap authority.
    #[must_use]
    pub fn swap_authority(&self) -> Address {
        receiver::swap_authority(&self.keeper.pubkey()).0
    }

    /// Liquidity mint of a reserve.
    #[must_use]
    pub fn mint(&self, reserve: &Address) -> Address {
        self.world.reserve_addresses(reserve).expect("a reserve of the stage").liquidity_mint
    }

    /// The associated token account of `owner` for the liquidity of `reserve`.
    #[must_use]
    pub fn token_account(&self, owner: &Address, reserve: &Address) -> Address {
        self.world.token_account_address(owner, &self.mint(reserve)).expect("a mint of the stage")
    }

    /// Gives `owner` liquidity of `reserve`; returns its token account.
    pub fn give(&mut self, owner: &Address, reserve: &Address, amount: u64) -> Address {
        let mint = self.mint(reserve);
        self.world.give(owner, &mint, amount).expect("a mint of the stage")
    }

    /// Units in a token account.
    #[must_use]
    pub fn balance(&self, token_account: &Address) -> u64 {
        self.world.balance(token_account).expect("a token account")
    }

    /// Changes the token part of a token account.
    pub fn edit_token_account(&mut self, key: &Address, edit: impl FnOnce(&mut TokenAccount)) {
        let mut account = self.account(key);
        let base = &mut account.data[..TokenAccount::LEN];
        let mut state = TokenAccount::unpack_unchecked(base).expect("a token account");
        edit(&mut state);
        TokenAccount::pack(state, base).expect("165 bytes");
        self.put(key, account);
    }

    /// An account that must be there.
    #[must_use]
    pub fn account(&self, key: &Address) -> Account {
        self.world.account(key).unwrap_or_else(|| panic!("no account {key}"))
    }

    /// Writes an account.
    pub fn put(&mut self, key: &Address, account: Account) {
        self.world.set_account(key, account).expect("no program, no sysvar");
    }

    /// Replaces the receiver by one that has a check switched off: from then on the
    /// invariants are not looked at.
    ///
    /// # Panics
    /// When it is no ELF that the virtual machine takes.
    pub fn deploy_mutant(&mut self, elf: &[u8]) {
        self.world.deploy(&receiver::PROGRAM_ID, elf).expect("a mutant is an ELF");
        self.is_mutant = true;
    }

    /// Sends instructions, paid for by the keeper, in a transaction with a lookup
    /// table for all that can be looked up. Checks the invariants, whatever comes of it.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn send(&mut self, instructions: &[Instruction]) -> Result<Outcome, ForkError> {
        self.send_allowing(instructions, |invariants| invariants)
    }

    /// [`Self::send`], with what the keeper signed for beside the liquidation.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn send_allowing(
        &mut self,
        instructions: &[Instruction],
        allow: impl FnOnce(Invariants) -> Invariants,
    ) -> Result<Outcome, ForkError> {
        let table = self.world.table_for(instructions, &self.keeper.pubkey())?;
        self.checked(allow, |stage| stage.execute(instructions, &table))
    }

    /// [`Self::send_allowing`] of a transaction that is signed already, on LiteSVM.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn send_transaction(
        &mut self,
        transaction: VersionedTransaction,
        allow: impl FnOnce(Invariants) -> Invariants,
    ) -> Result<Outcome, ForkError> {
        self.checked(allow, |stage| stage.world.send_transaction(transaction))
    }

    /// Where every transaction of a stage passes: no test can forget the invariants.
    fn checked(
        &mut self,
        allow: impl FnOnce(Invariants) -> Invariants,
        execute: impl FnOnce(&mut Self) -> Result<Outcome, ForkError>,
    ) -> Result<Outcome, ForkError> {
        if self.is_mutant {
            return execute(self);
        }
        let before = Invariants::note(&self.world, &self.keeper.pubkey());
        let before = allow(before.hostile(&[self.thief.pubkey()]));
        let sent = execute(self);
        before.check(&self.world, &sent);
        sent
    }

    fn execute(
        &mut self,
        instructions: &[Instruction],
        table: &AddressLookupTableAccount,
    ) -> Result<Outcome, ForkError> {
        let signers = [&self.keeper, &self.thief];
        let tables = std::slice::from_ref(table);
        match self.runtime {
            Runtime::LiteSvm => self.world.send_v0(instructions, &signers, tables),
            Runtime::LiteSvmV1 => {
                let blockhash = self.world.svm().latest_blockhash();
                let budget = ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 };
                let payer = self.keeper.pubkey();
                let (message, _) = compile_v1(&payer, instructions, &budget, blockhash)?;
                self.world.send_transaction(sign(message, &signers)?)
            }
            Runtime::Bank => bank::execute(&mut self.world, |blockhash| {
                let payer = signers[0].pubkey();
                sign(compile_v0(&payer, instructions, tables, blockhash)?, &signers)
            }),
        }
    }
}

/// The transaction with the signatures of those who have to sign.
fn sign(
    message: VersionedMessage,
    signers: &[&Keypair],
) -> Result<VersionedTransaction, ForkError> {
    let needed = usize::from(message.header().num_required_signatures);
    let keys = &message.static_account_keys()[..needed];
    let signing: Vec<_> =
        signers.iter().copied().filter(|signer| keys.contains(&signer.pubkey())).collect();
    VersionedTransaction::try_new(message, &signing)
        .map_err(|error| ForkError::Sign(error.to_string()))
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}
