//! An obligation of any shape, and a keeper without tokens in front of it.

use flash_liquidator_client::transaction::MAX_TRANSACTION_BYTES;
use klend_fork::{ForkError, Outcome, Pool, Position, Rehearsal, World};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::Invariants;

/// Depth of the pools that collateral is sold in, USD.
pub const DEEP: u64 = 100_000_000;

/// A world, a keeper without tokens, and an obligation.
///
/// # Panics
/// All methods do when the world lacks what they name: a scene is set up right,
/// or there is nothing to test.
pub struct Scene {
    /// Where it all happens.
    pub world: World,
    /// Liquidator; pays for transactions.
    pub keeper: Keypair,
    /// The obligation.
    pub obligation: Address,
}

impl Clone for Scene {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            keeper: self.keeper.insecure_clone(),
            obligation: self.obligation,
        }
    }
}

impl Scene {
    /// An obligation in the built-in fork with these deposits and borrows, whole
    /// tokens by symbol, in an elevation group (0 for none).
    #[must_use]
    pub fn open(deposits: &[(&str, u64)], borrows: &[(&str, u64)], group: u8) -> Self {
        Self::open_in(World::builtin().expect("the built-in fork"), deposits, borrows, group)
    }

    /// The same in another world.
    #[must_use]
    pub fn open_in(
        mut world: World,
        deposits: &[(&str, u64)],
        borrows: &[(&str, u64)],
        group: u8,
    ) -> Self {
        let units = |world: &World, list: &[(&str, u64)]| -> Vec<(Address, u64)> {
            list.iter()
                .map(|(symbol, tokens)| {
                    let reserve = world.reserve_named(symbol).expect("a reserve of the world");
                    let mint = world.reserve_addresses(&reserve).expect("addresses").liquidity_mint;
                    let decimals = u32::from(world.decimals(&mint).expect("a mint"));
                    (reserve, tokens * 10u64.pow(decimals))
                })
                .collect()
        };
        world.restamp_prices().expect("reserves with Scope prices");
        let (deposits, borrows) = (units(&world, deposits), units(&world, borrows));
        let keeper = world.actor("keeper");
        let borrower = world.actor("borrower");
        let position = Position::new(&deposits, &borrows).in_group(group);
        let obligation =
            world.open_position(&borrower, &position).expect("a position that klend allows");
        Self { world, keeper, obligation }
    }

    /// The reserve with this symbol.
    #[must_use]
    pub fn reserve(&self, symbol: &str) -> Address {
        self.world.reserve_named(symbol).expect("a reserve of the world")
    }

    /// Mint of the liquidity of the reserve with this symbol.
    #[must_use]
    pub fn mint(&self, symbol: &str) -> Address {
        self.world.reserve_addresses(&self.reserve(symbol)).expect("addresses").liquidity_mint
    }

    /// Gives the keeper whole tokens.
    pub fn give_keeper(&mut self, symbol: &str, tokens: u64) {
        let mint = self.mint(symbol);
        let decimals = u32::from(self.world.decimals(&mint).expect("a mint"));
        let units = tokens * 10u64.pow(decimals);
        self.world.give(&self.keeper.pubkey(), &mint, units).expect("a mint of the world");
    }

    /// Multiplies a price by `percent`.
    pub fn reprice(&mut self, symbol: &str, percent: u64) {
        let reserve = self.reserve(symbol);
        let price = self.world.price(&reserve).expect("a price");
        let price = price.scaled(percent, 100).expect("a price that fits");
        self.world.set_price(&reserve, price).expect("a price that Scope can hold");
    }

    /// Lowers a price by five per cent of what it was until the obligation can be
    /// liquidated.
    pub fn reprice_until_unhealthy(&mut self, symbol: &str) {
        for percent in (1..20).map(|step| 100 - 5 * step) {
            let mut lower = self.clone();
            lower.reprice(symbol, percent);
            lower.world.refresh(&self.obligation).expect("a refresh");
            let obligation = lower.world.obligation(&self.obligation).expect("the obligation");
            if obligation.is_liquidatable() {
                *self = lower;
                return;
            }
        }
        panic!("no price of {symbol} makes the obligation unhealthy");
    }

    /// Lends out all but `left` units of what a reserve's vault holds.
    pub fn drain_vault(&mut self, symbol: &str, left: u64) {
        let reserve = self.reserve(symbol);
        let vault = self.world.reserve_addresses(&reserve).expect("addresses");
        let vault = vault.liquidity_supply_vault;
        let mut moved = 0;
        self.world
            .edit_reserve(&reserve, |reserve| {
                let liquidity = &mut reserve.liquidity;
                moved = liquidity.total_available_amount - left;
                liquidity.total_available_amount = left;
                let borrowed = u128::from(liquidity.borrowed_amount_sf) + (u128::from(moved) << 60);
                liquidity.borrowed_amount_sf = borrowed.into();
            })
            .expect("a reserve of the world");
        let mut account = self.world.account(&vault).expect("a vault");
        let amount = account.data[64..72].try_into().expect("eight bytes");
        let amount = u64::from_le_bytes(amount) - moved;
        account.data[64..72].copy_from_slice(&amount.to_le_bytes());
        self.world.set_account(&vault, account).expect("no program, no sysvar");
    }

    /// Makes the first deposit one of `ctokens` in another reserve: klend's own
    /// instructions do not let an obligation borrow what it deposits, but migrated
    /// positions do exist.
    pub fn move_deposit(&mut self, symbol: &str, ctokens: u64) {
        let reserve = self.reserve(symbol);
        self.world
            .edit_obligation(&self.obligation.clone(), |obligation| {
                obligation.deposits[0].deposit_reserve = klend_model::keys::to_v2(&reserve);
                obligation.deposits[0].deposited_amount = ctokens;
            })
            .expect("the obligation");
    }

    /// A pool of two reserves' tokens, [`DEEP`], with a fee of 5 bps.
    pub fn pool(&mut self, a: &str, b: &str) -> Pool {
        let (a, b) = (self.reserve(a), self.reserve(b));
        self.world.create_pool_at_oracle_price(&a, &b, DEEP, 5).expect("two prices")
    }

    /// A liquidation of `debt` against `collateral` with a loan of all the debt.
    pub fn rehearse(&mut self, debt: &str, collateral: &str) -> Rehearsal {
        let (debt, collateral) = (self.reserve(debt), self.reserve(collateral));
        let account = self.world.obligation(&self.obligation).expect("the obligation");
        let owed = account
            .borrows
            .iter()
            .find(|borrow| *klend_model::keys::address(&borrow.borrow_reserve) == debt)
            .map(|borrow| u128::from(borrow.borrowed_amount_sf) >> 60)
            .expect("the obligation owes this debt");
        let (keeper, obligation) = (self.keeper.pubkey(), self.obligation);
        let loan = u64::try_from(owed).expect("a token amount") + 2;
        Rehearsal::new(&mut self.world, &keeper, &obligation, &debt, &collateral, loan)
            .expect("reserves and mints of the world")
    }

    /// [`Self::rehearse`] with a direct pool.
    pub fn rehearse_sale(&mut self, debt: &str, collateral: &str) -> Rehearsal {
        let pool = self.pool(collateral, debt);
        self.rehearse(debt, collateral)
            .sell_through(&mut self.world, &[pool])
            .expect("the pool trades collateral for debt")
    }

    /// Sends instructions in a transaction with a lookup table for all that can be
    /// looked up. Checks the invariants, and that it fits when it succeeds.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome.
    pub fn send(&mut self, instructions: &[Instruction]) -> Result<Outcome, ForkError> {
        let table = self.world.table_for(instructions, &self.keeper.pubkey())?;
        let before = Invariants::note(&self.world, &self.keeper.pubkey());
        let sent = self.world.send_v0(instructions, &[&self.keeper], &[table]);
        before.check(&self.world, &sent);
        let outcome = sent?;
        assert!(outcome.bytes <= MAX_TRANSACTION_BYTES);
        Ok(outcome)
    }
}
