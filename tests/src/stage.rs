//! A keeper in front of an unhealthy obligation.

use std::sync::{LazyLock, Mutex, PoisonError};

use flash_liquidator_client::{receiver, transaction::compile_v0};
use klend_fork::{ForkError, Outcome, Pool, Position, Rehearsal, World};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::AddressLookupTableAccount;
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
}

/// What executes transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// LiteSVM.
    LiteSvm,
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
        Ok(Self { world, keeper, thief, obligation, sol, usdc, pool, runtime: Runtime::LiteSvm })
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

    /// Sends instructions, paid for by the keeper, in a transaction with a lookup
    /// table for all that can be looked up. Checks the invariants when it succeeds.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn send(&mut self, instructions: &[Instruction]) -> Result<Outcome, ForkError> {
        let table = self.world.table_for(instructions, &self.keeper.pubkey())?;
        let before = Invariants::note(&self.world, &self.keeper.pubkey());
        let outcome = self.execute(instructions, &table)?;
        before.assert_hold(&self.world, &outcome);
        Ok(outcome)
    }

    /// [`Self::send`] without a look at the invariants: for programs that have a
    /// check switched off.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn attempt(&mut self, instructions: &[Instruction]) -> Result<Outcome, ForkError> {
        let table = self.world.table_for(instructions, &self.keeper.pubkey())?;
        self.execute(instructions, &table)
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
            Runtime::Bank => bank::execute(&mut self.world, |blockhash| {
                sign(instructions, &signers, tables, blockhash)
            }),
        }
    }
}

/// A transaction that the first signer pays for and those sign that have to.
fn sign(
    instructions: &[Instruction],
    signers: &[&Keypair],
    tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> Result<VersionedTransaction, ForkError> {
    let message = compile_v0(&signers[0].pubkey(), instructions, tables, blockhash)?;
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
