//! What holds after every transaction, whatever it did: one that failed changed
//! nothing, one that succeeded kept to the terms, and neither left anybody able to take
//! what is the keeper's ([`epilogue`]).

use std::collections::BTreeMap;

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator::{Liquidated, Settled};
use flash_liquidator_client::receiver;
use klend_fork::{ForkError, Outcome, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, World};
use klend_interface::state::Reserve;
use klend_model::keys::address;
use solana_account::{Account, ReadableAccount};
use solana_address::Address;
use solana_program_pack::Pack;
use solana_sdk_ids::{address_lookup_table, sysvar};
use spl_token_interface::state::{Account as TokenAccount, Mint};

use crate::{
    epilogue,
    property::{base_of, identity, is_token_account, property},
};

/// A world before a transaction, and what that may cost the keeper.
pub struct Invariants {
    keeper: Address,
    before: World,
    figures: Figures,
    hostile: Vec<Address>,
    /// Token accounts of the keeper that a test lets it lose units of.
    may_lose: BTreeMap<Address, u64>,
    may_spend: u64,
}

/// The figures of a world that a transaction must not change for the worse.
struct Figures {
    tokens: BTreeMap<Address, TokenAccount>,
    supplies: BTreeMap<Address, u64>,
    reserves: BTreeMap<Address, Reserve>,
    lamports: u128,
    /// Wallets, nonce accounts and token accounts of keeper and swap authority.
    property: BTreeMap<Address, Account>,
}

impl Figures {
    fn of(world: &World, victims: &[Address]) -> Self {
        let (mut tokens, mut supplies) = (BTreeMap::new(), BTreeMap::new());
        // Reading programs' accounts wants a `&mut`.
        let mut copy = world.clone();
        for program in [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID] {
            for (key, account) in copy.svm().get_program_accounts(&program) {
                let data = &account.data;
                match data.get(TokenAccount::LEN) {
                    None if data.len() == Mint::LEN => {
                        let mint = Mint::unpack_unchecked(data).expect("82 bytes");
                        supplies.insert(key, mint.supply);
                    }
                    Some(1) => {
                        let mint = Mint::unpack_unchecked(&data[..Mint::LEN]).expect("82 bytes");
                        supplies.insert(key, mint.supply);
                    }
                    _ if data.len() >= TokenAccount::LEN => {
                        tokens.insert(key, base_of(&account));
                    }
                    _ => {}
                }
            }
        }
        let lamports = copy
            .svm()
            .accounts_db()
            .inner
            .values()
            .map(|account| u128::from(account.lamports()))
            .sum();
        let property = property(&mut copy, victims);
        let reserves = world.reserves().expect("reserves");
        Self { tokens, supplies, reserves, lamports, property }
    }
}

impl Invariants {
    /// Notes `world`, from the point of view of `keeper`.
    ///
    /// # Panics
    /// When an account of `world` is not what its owner makes of it.
    #[must_use]
    pub fn note(world: &World, keeper: &Address) -> Self {
        Self {
            keeper: *keeper,
            before: world.clone(),
            figures: Figures::of(world, &victims(keeper)),
            hostile: Vec::new(),
            may_lose: BTreeMap::new(),
            may_spend: 0,
        }
    }

    /// Lets the keeper lose up to `units` of a token account: what it signed for
    /// beside the liquidation.
    #[must_use]
    pub fn may_lose(mut self, token_account: &Address, units: u64) -> Self {
        self.may_lose.insert(*token_account, units);
        self
    }

    /// Lets the keeper's wallet lose up to `lamports` beside the fee and the rent of its
    /// own token accounts.
    #[must_use]
    pub fn may_spend(mut self, lamports: u64) -> Self {
        self.may_spend = lamports;
        self
    }

    /// Keys that try to take what is the keeper's, besides those that are found.
    #[must_use]
    pub fn hostile(mut self, keys: &[Address]) -> Self {
        self.hostile = keys.to_vec();
        self
    }

    /// Checks what came of the transaction: every invariant if it succeeded, that
    /// nothing has changed if it failed.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self, world: &World, sent: &Result<Outcome, ForkError>) {
        match sent {
            Ok(outcome) => self.assert_hold(world, outcome),
            Err(error) => {
                let fee = error.failure().map_or(0, |failure| failure.outcome.fee);
                self.assert_undone(world, fee);
            }
        }
    }

    fn assert_hold(&self, world: &World, outcome: &Outcome) {
        let victims = victims(&self.keeper);
        let after = Figures::of(world, &victims);
        self.assert_keeper_gained(&after, outcome);
        self.assert_wallet_paid_no_more(&after, outcome);
        self.assert_still_what_it_was(&after);
        self.assert_swap_authority_untouched(&after);
        self.assert_books_balance(&after);
        self.assert_nothing_out_of_nothing(&after, outcome);
        self.assert_nothing_left_behind(world);
        epilogue::assert_nothing_can_be_taken(&self.before, world, &victims, &self.hostile);
    }

    /// Nothing but the keeper's fee has changed; so whoever could take something could
    /// do so before.
    fn assert_undone(&self, world: &World, fee: u64) {
        let (mut before, mut after) = (self.before.clone(), world.clone());
        let (before, after) = (&before.svm().accounts_db().inner, &after.svm().accounts_db().inner);
        // What the runtime keeps, and code.
        let is_the_runtimes = |account: &dyn Fn() -> (Address, bool)| {
            let (owner, executable) = account();
            executable || [sysvar::ID, address_lookup_table::ID].contains(&owner)
        };
        for (key, was) in before {
            if is_the_runtimes(&|| (*was.owner(), was.executable())) {
                continue;
            }
            let now = after.get(key).unwrap_or_else(|| panic!("account {key} is gone"));
            let paid = if *key == self.keeper { fee } else { 0 };
            assert!(
                now.lamports() <= was.lamports() && now.lamports() + paid >= was.lamports(),
                "a failed transaction changed the lamports of {key}"
            );
            assert!(
                now.owner() == was.owner() && now.data() == was.data(),
                "a failed transaction changed {key}"
            );
        }
        for (key, now) in after {
            let is_new = !before.contains_key(key) && now.lamports() > 0;
            assert!(!is_new, "a failed transaction made account {key}");
        }
    }

    /// Units that the keeper must have gained, by mint: what the events promise.
    ///
    /// Several liquidations of one loan each cover its whole fee, so their profits
    /// add up to no more than what was gained; a bracket covers all between.
    fn promised(outcome: &Outcome) -> BTreeMap<Address, i128> {
        let (mut liquidated, mut settled) = (BTreeMap::new(), BTreeMap::new());
        for data in outcome.data_of(&receiver::PROGRAM_ID) {
            let (promised, mint, min_profit, profit) =
                if let Some(mut rest) = data.strip_prefix(Liquidated::DISCRIMINATOR) {
                    let event = Liquidated::deserialize(&mut rest).expect("a Liquidated event");
                    (&mut liquidated, event.debt_mint, event.min_profit, event.profit)
                } else if let Some(mut rest) = data.strip_prefix(Settled::DISCRIMINATOR) {
                    let event = Settled::deserialize(&mut rest).expect("a Settled event");
                    (&mut settled, event.debt_mint, event.min_profit, event.profit)
                } else {
                    continue;
                };
            assert!(profit >= min_profit, "event: profit {profit}, minimum {min_profit}");
            *promised.entry(mint).or_insert(0) += i128::from(min_profit);
        }
        liquidated.extend(settled);
        liquidated
    }

    fn assert_keeper_gained(&self, after: &Figures, outcome: &Outcome) {
        let promised = Self::promised(outcome);
        let mut gained = BTreeMap::<Address, i128>::new();
        let accounts = self.figures.property.iter().filter(|(_, account)| {
            is_token_account(account) && base_of(account).owner == self.keeper
        });
        for (key, before) in accounts {
            let now = after.property.get(key).filter(|now| is_token_account(now));
            let now = now.unwrap_or_else(|| panic!("the keeper lost token account {key}"));
            let mint = base_of(before).mint;
            let change = i128::from(worth(now)) - i128::from(worth(before));
            *gained.entry(mint).or_default() += change;
            let may_lose = self.may_lose.get(key).copied().unwrap_or_default();
            assert!(
                promised.contains_key(&mint) || change >= -i128::from(may_lose),
                "the keeper's account {key} of {mint} changed by {change}"
            );
        }
        for (mint, least) in promised {
            let gained = gained.get(&mint).copied().unwrap_or_default();
            assert!(gained >= least, "the keeper gained {gained} of {mint}, promised {least}");
        }
    }

    /// The keeper's wallet paid the fee, the rent of token accounts that are the
    /// keeper's and the swap authority's now, and what it may spend.
    fn assert_wallet_paid_no_more(&self, after: &Figures, outcome: &Outcome) {
        let rent: u64 = after
            .property
            .iter()
            .filter(|(key, account)| {
                is_token_account(account) && !self.figures.property.contains_key(*key)
            })
            .map(|(_, account)| account.lamports)
            .sum();
        let (had, has) =
            (self.figures.property[&self.keeper].lamports, after.property[&self.keeper].lamports);
        let explained = outcome.fee + rent + self.may_spend;
        assert!(
            has + explained >= had,
            "the keeper's wallet went from {had} to {has} lamports; explained are {explained}"
        );
    }

    /// Wallets, nonce accounts and token accounts differ in amounts alone: the program
    /// that owns them, their length, authorities, state and extensions are as before;
    /// wallets that were plain still are.
    fn assert_still_what_it_was(&self, after: &Figures) {
        for (key, was) in &self.figures.property {
            let now = after.property.get(key).unwrap_or_else(|| panic!("{key} changed hands"));
            let ((owner, data), (owner_before, data_before)) = (identity(now), identity(was));
            assert_eq!(owner, owner_before, "program that owns {key}");
            assert_eq!(data.len(), data_before.len(), "length of the data of {key}");
            assert!(data == data_before, "what {key} is: {data_before:?} became {data:?}");
        }
    }

    fn assert_swap_authority_untouched(&self, after: &Figures) {
        let (authority, _) = receiver::swap_authority(&self.keeper);
        let accounts = after.property.iter().filter(|(_, account)| {
            is_token_account(account) && base_of(account).owner == authority
        });
        for (key, now) in accounts {
            let state = base_of(now);
            let Some(before) = self.figures.property.get(key) else {
                assert_eq!(state.amount, 0, "the swap authority's new account {key}");
                assert!(state.delegate.is_none() && state.close_authority.is_none(), "{key}");
                continue;
            };
            let amount = base_of(before).amount;
            assert_eq!(state.amount, amount, "the swap authority's account {key}");
            assert_eq!(now.lamports, before.lamports, "lamports of {key}");
        }
    }

    /// klend's vaults hold what its books say, or are off by what they were before.
    /// Anybody may send tokens to a vault, which no book records; out of it, only
    /// klend does.
    fn assert_books_balance(&self, after: &Figures) {
        for (key, reserve) in &after.reserves {
            let Some(before) = self.figures.reserves.get(key) else { continue };
            let beyond_books = |figures: &Figures, reserve: &Reserve| {
                let vault = figures.tokens.get(address(&reserve.liquidity.supply_vault));
                let supply = figures.supplies.get(address(&reserve.collateral.mint_pubkey));
                (
                    i128::from(vault.map_or(0, |vault| vault.amount))
                        - i128::from(reserve.liquidity.total_available_amount),
                    i128::from(supply.copied().unwrap_or_default())
                        - i128::from(reserve.collateral.mint_total_supply),
                )
            };
            let (vault, ctokens) = beyond_books(after, reserve);
            let (vault_before, ctokens_before) = beyond_books(&self.figures, before);
            assert!(
                vault >= vault_before,
                "the vault of reserve {key} holds {vault} beyond its books, before {vault_before}"
            );
            assert_eq!(ctokens, ctokens_before, "cTokens of reserve {key} beyond its books");
        }
    }

    fn assert_nothing_out_of_nothing(&self, after: &Figures, outcome: &Outcome) {
        assert_eq!(
            self.figures.lamports,
            after.lamports + u128::from(outcome.fee),
            "lamports, the fee of {} included",
            outcome.fee
        );
        let held = |figures: &Figures, mint: &Address| -> i128 {
            let of_mint = figures.tokens.values().filter(|account| account.mint == *mint);
            of_mint.map(|account| i128::from(account.amount)).sum()
        };
        for (mint, supply) in &after.supplies {
            let Some(supply_before) = self.figures.supplies.get(mint) else { continue };
            assert_eq!(
                held(after, mint) - held(&self.figures, mint),
                i128::from(*supply) - i128::from(*supply_before),
                "units of mint {mint} held by anybody, beyond what was minted or burnt"
            );
        }
    }

    fn assert_nothing_left_behind(&self, world: &World) {
        let mut copy = world.clone();
        let left: Vec<_> = copy
            .svm()
            .get_program_accounts(&receiver::PROGRAM_ID)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert!(left.is_empty(), "accounts of the receiver are left over: {left:?}");
    }
}

/// Who must not lose anything: the keeper and its swap authority.
fn victims(keeper: &Address) -> [Address; 2] {
    [*keeper, receiver::swap_authority(keeper).0]
}

/// Units that a token account holds; of wrapped SOL its lamports, which nobody can raise
/// by synchronising the amount.
fn worth(account: &Account) -> u64 {
    if base_of(account).is_native() { account.lamports } else { base_of(account).amount }
}
