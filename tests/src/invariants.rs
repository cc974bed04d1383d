//! What holds after every transaction that succeeds, whatever it did.

use std::collections::BTreeMap;

use anchor_lang::{AnchorDeserialize, Discriminator};
use flash_liquidator::{Liquidated, Settled};
use flash_liquidator_client::receiver;
use klend_fork::{Outcome, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, World};
use klend_interface::state::Reserve;
use klend_model::keys::address;
use solana_address::Address;
use solana_program_option::COption;
use solana_program_pack::Pack;
use solana_sdk_ids::system_program;
use spl_token_interface::state::{Account as TokenAccount, Mint};

/// The figures of a world that a transaction must not change for the worse,
/// noted before it.
pub struct Invariants {
    keeper: Address,
    tokens: BTreeMap<Address, TokenAccount>,
    supplies: BTreeMap<Address, u64>,
    reserves: BTreeMap<Address, Reserve>,
    lamports: u128,
    /// Token accounts of the keeper that a test lets it lose units of.
    may_lose: BTreeMap<Address, u64>,
}

impl Invariants {
    /// Notes the figures of `world`, from the point of view of `keeper`.
    ///
    /// # Panics
    /// When an account of `world` is not what its owner makes of it.
    #[must_use]
    pub fn note(world: &World, keeper: &Address) -> Self {
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
                        let base = &data[..TokenAccount::LEN];
                        tokens
                            .insert(key, TokenAccount::unpack_unchecked(base).expect("165 bytes"));
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
            .map(|account| u128::from(solana_account::ReadableAccount::lamports(account)))
            .sum();
        Self {
            keeper: *keeper,
            tokens,
            supplies,
            reserves: world.reserves().expect("reserves"),
            lamports,
            may_lose: BTreeMap::new(),
        }
    }

    /// Lets the keeper lose up to `units` of a token account: what it signed for
    /// beside the liquidation.
    #[must_use]
    pub fn may_lose(mut self, token_account: &Address, units: u64) -> Self {
        self.may_lose.insert(*token_account, units);
        self
    }

    /// Checks every invariant on the world after the transaction.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn assert_hold(&self, world: &World, outcome: &Outcome) {
        let after = Self::note(world, &self.keeper);
        self.assert_keeper_gained(&after, outcome);
        self.assert_swap_authority_untouched(world, &after);
        self.assert_books_balance(&after);
        self.assert_nothing_out_of_nothing(&after, outcome);
        self.assert_nothing_left_behind(world);
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

    fn assert_keeper_gained(&self, after: &Self, outcome: &Outcome) {
        let promised = Self::promised(outcome);
        let mut gained = BTreeMap::<Address, i128>::new();
        for (key, before) in self.tokens.iter().filter(|(_, account)| account.owner == self.keeper)
        {
            let now = after.tokens.get(key);
            let still_owned = now.is_some_and(|now| now.owner == self.keeper);
            assert!(still_owned, "the keeper lost token account {key}");
            let now = now.map_or(0, |now| now.amount);
            *gained.entry(before.mint).or_default() += i128::from(now) - i128::from(before.amount);
            let may_lose = self.may_lose.get(key).copied().unwrap_or_default();
            if !promised.contains_key(&before.mint) {
                assert!(
                    u128::from(now) + u128::from(may_lose) >= u128::from(before.amount),
                    "the keeper's account {key} of {} went from {} to {now}",
                    before.mint,
                    before.amount
                );
            }
        }
        for (mint, least) in promised {
            let gained = gained.get(&mint).copied().unwrap_or_default();
            assert!(gained >= least, "the keeper gained {gained} of {mint}, promised {least}");
        }
    }

    fn assert_swap_authority_untouched(&self, world: &World, after: &Self) {
        let (authority, _) = receiver::swap_authority(&self.keeper);
        for (key, now) in after.tokens.iter().filter(|(_, account)| account.owner == authority) {
            let before = self.tokens.get(key);
            let amount = before.map_or(0, |before| before.amount);
            assert_eq!(now.amount, amount, "the swap authority's account {key} of {}", now.mint);
            assert_eq!(now.delegate, before.map_or(COption::None, |before| before.delegate));
            assert_eq!(
                now.close_authority,
                before.map_or(COption::None, |before| before.close_authority)
            );
        }
        for key in self.tokens.iter().filter(|(_, a)| a.owner == authority).map(|(key, _)| key) {
            let owner = after.tokens.get(key).map(|account| account.owner);
            assert_eq!(owner, Some(authority), "owner of the swap authority's account {key}");
        }
        for (what, key) in [("swap authority", authority), ("keeper", self.keeper)] {
            let owner = world.account(&key).map_or(system_program::ID, |account| account.owner);
            assert_eq!(owner, system_program::ID, "program that owns the {what}");
        }
    }

    /// klend's vaults hold what its books say, or are off by what they were before.
    /// Anybody may send tokens to a vault, which no book records; out of it, only
    /// klend does.
    fn assert_books_balance(&self, after: &Self) {
        for (key, reserve) in &after.reserves {
            let Some(before) = self.reserves.get(key) else { continue };
            let beyond_books = |figures: &Self, reserve: &Reserve| {
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
            let (vault_before, ctokens_before) = beyond_books(self, before);
            assert!(
                vault >= vault_before,
                "the vault of reserve {key} holds {vault} beyond its books, before {vault_before}"
            );
            assert_eq!(ctokens, ctokens_before, "cTokens of reserve {key} beyond its books");
        }
    }

    fn assert_nothing_out_of_nothing(&self, after: &Self, outcome: &Outcome) {
        assert_eq!(
            self.lamports,
            after.lamports + u128::from(outcome.fee),
            "lamports, the fee of {} included",
            outcome.fee
        );
        let held = |figures: &Self, mint: &Address| -> i128 {
            let of_mint = figures.tokens.values().filter(|account| account.mint == *mint);
            of_mint.map(|account| i128::from(account.amount)).sum()
        };
        for (mint, supply) in &after.supplies {
            let Some(supply_before) = self.supplies.get(mint) else { continue };
            assert_eq!(
                held(after, mint) - held(self, mint),
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
