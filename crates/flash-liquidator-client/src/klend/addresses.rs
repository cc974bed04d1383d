use klend_interface::state::{LendingMarket, Obligation, Reserve};
use klend_model::keys::{some, to_address};
use solana_address::{Address, address};

use super::pda;
use crate::receiver::BuildError;

/// klend writes this key, or all zeros, where an oracle is not configured.
pub const NO_ORACLE: Address = address!("nu11111111111111111111111111111111111111111");

/// Oracle accounts that a reserve is configured to read; `None` = not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oracles {
    /// Pyth `PriceUpdateV2` account.
    pub pyth: Option<Address>,
    /// Switchboard price feed.
    pub switchboard_price: Option<Address>,
    /// Switchboard TWAP feed.
    pub switchboard_twap: Option<Address>,
    /// Scope price account.
    pub scope: Option<Address>,
}

/// Every address that klend's instructions want with a reserve, as the Reserve
/// account states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveAddresses {
    /// The Reserve account itself.
    pub reserve: Address,
    /// Market it belongs to.
    pub lending_market: Address,
    /// PDA of the market that owns the vaults.
    pub lending_market_authority: Address,
    /// Mint of the liquidity (the token lent).
    pub liquidity_mint: Address,
    /// Token program of that mint: SPL Token or Token-2022.
    pub liquidity_token_program: Address,
    /// Vault with the unborrowed liquidity.
    pub liquidity_supply_vault: Address,
    /// Vault that fees are paid into.
    pub fee_vault: Address,
    /// Mint of the reserve's cToken; always SPL Token.
    pub ctoken_mint: Address,
    /// Vault with the cTokens of all obligations.
    pub collateral_supply_vault: Address,
    /// Farm that deposits are staked in.
    pub collateral_farm: Option<Address>,
    /// Farm that debts are staked in.
    pub debt_farm: Option<Address>,
    /// Oracles that `refresh_reserve` reads.
    pub oracles: Oracles,
}

impl ReserveAddresses {
    /// Reads them from the Reserve account stored at `key`.
    #[must_use]
    pub fn read(key: &Address, reserve: &Reserve) -> Self {
        let (liquidity, collateral) = (&reserve.liquidity, &reserve.collateral);
        let token_info = &reserve.config.token_info;
        let oracle = |key| some(key).filter(|key| **key != NO_ORACLE).copied();
        let lending_market = to_address(&reserve.lending_market);
        Self {
            reserve: *key,
            lending_market,
            lending_market_authority: pda::lending_market_authority(&lending_market),
            liquidity_mint: to_address(&liquidity.mint_pubkey),
            liquidity_token_program: to_address(&liquidity.token_program),
            liquidity_supply_vault: to_address(&liquidity.supply_vault),
            fee_vault: to_address(&liquidity.fee_vault),
            ctoken_mint: to_address(&collateral.mint_pubkey),
            collateral_supply_vault: to_address(&collateral.supply_vault),
            collateral_farm: some(&reserve.farm_collateral).copied(),
            debt_farm: some(&reserve.farm_debt).copied(),
            oracles: Oracles {
                pyth: oracle(&token_info.pyth_configuration.price),
                switchboard_price: oracle(&token_info.switchboard_configuration.price_aggregator),
                switchboard_twap: oracle(&token_info.switchboard_configuration.twap_aggregator),
                scope: oracle(&token_info.scope_configuration.price_feed),
            },
        }
    }
}

/// What klend's instructions want with an obligation, as the Obligation account
/// states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObligationAddresses {
    /// The Obligation account itself.
    pub obligation: Address,
    /// Market it belongs to.
    pub lending_market: Address,
    /// Who opened it.
    pub owner: Address,
    /// Reserves of the active deposits, in slot order.
    pub deposit_reserves: Vec<Address>,
    /// Reserves of the active borrows, in slot order.
    pub borrow_reserves: Vec<Address>,
    /// Referrer of the owner.
    pub referrer: Option<Address>,
    /// Elevation group; 0 = none.
    pub elevation_group: u8,
}

impl ObligationAddresses {
    /// Reads them from the Obligation account stored at `key`.
    #[must_use]
    pub fn read(key: &Address, obligation: &Obligation) -> Self {
        Self {
            obligation: *key,
            lending_market: to_address(&obligation.lending_market),
            owner: to_address(&obligation.owner),
            deposit_reserves: obligation
                .deposits
                .iter()
                .filter_map(|deposit| some(&deposit.deposit_reserve).copied())
                .collect(),
            borrow_reserves: obligation
                .borrows
                .iter()
                .filter_map(|borrow| some(&borrow.borrow_reserve).copied())
                .collect(),
            referrer: some(&obligation.referrer).copied(),
            elevation_group: obligation.elevation_group,
        }
    }

    /// Every reserve of the obligation once, deposits first: what has to be
    /// refreshed before the obligation.
    #[must_use]
    pub fn distinct_reserves(&self) -> Vec<Address> {
        let mut reserves = Vec::with_capacity(self.deposit_reserves.len());
        for reserve in self.deposit_reserves.iter().chain(&self.borrow_reserves) {
            if !reserves.contains(reserve) {
                reserves.push(*reserve);
            }
        }
        reserves
    }

    /// Deposit reserves that liquidate v2 wants as remaining accounts: all of
    /// them in an elevation group, none otherwise.
    #[must_use]
    pub fn liquidation_tail(&self) -> &[Address] {
        if self.elevation_group == 0 { &[] } else { &self.deposit_reserves }
    }

    /// The referrer's states for `refresh_obligation`, one per borrow, or none without a
    /// referrer.
    ///
    /// klend takes the next state from the list only for a borrow whose reserve
    /// pays referrers; states it will not take therefore come last. `reserves`
    /// are the accounts of the borrow reserves, in slot order.
    #[must_use]
    pub fn referrer_token_states<'a>(
        &self,
        market: &LendingMarket,
        reserves: impl IntoIterator<Item = &'a Reserve>,
    ) -> Vec<ReferrerState> {
        let Some(referrer) = self.referrer else {
            return Vec::new();
        };
        let mut states: Vec<ReferrerState> = self
            .borrow_reserves
            .iter()
            .zip(reserves)
            .map(|(key, reserve)| {
                let is_paid =
                    market.referral_fee_bps > 0 && reserve.config.protocol_take_rate_pct > 0;
                let address = pda::referrer_token_state(&referrer, key);
                ReferrerState { address, reserve: *key, is_paid }
            })
            .collect();
        states.sort_by_key(|state| !state.is_paid);
        states
    }
}

/// A referrer's state in a reserve that an obligation borrows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferrerState {
    /// Where klend keeps it.
    pub address: Address,
    /// The reserve.
    pub reserve: Address,
    /// Whether a refresh of the obligation pays into it: it has to be there then.
    pub is_paid: bool,
}

/// An obligation and everything its liquidations name, as the accounts state it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionAddresses {
    /// The obligation.
    pub obligation: ObligationAddresses,
    /// Every reserve that was given: the obligation's, and others that may lend.
    pub reserves: Vec<ReserveAddresses>,
    /// [`ObligationAddresses::referrer_token_states`].
    pub referrer_token_states: Vec<ReferrerState>,
}

impl PositionAddresses {
    /// Reads them from the accounts of the obligation, its market, and reserves:
    /// all that the obligation uses, and any others, of other markets too, that may
    /// lend.
    ///
    /// # Errors
    /// [`BuildError::ReserveMissing`].
    pub fn read(
        (key, obligation): (&Address, &Obligation),
        market: &LendingMarket,
        reserves: &[(Address, &Reserve)],
    ) -> Result<Self, BuildError> {
        let obligation = ObligationAddresses::read(key, obligation);
        let account = |wanted: &Address| {
            reserves.iter().find(|(key, _)| key == wanted).map(|(_, reserve)| *reserve).ok_or(
                BuildError::ReserveMissing { obligation: obligation.obligation, reserve: *wanted },
            )
        };
        for reserve in &obligation.deposit_reserves {
            account(reserve)?;
        }
        let borrowed =
            obligation.borrow_reserves.iter().map(account).collect::<Result<Vec<_>, _>>()?;
        let referrer_token_states = obligation.referrer_token_states(market, borrowed);
        Ok(Self {
            reserves: reserves
                .iter()
                .map(|(key, reserve)| ReserveAddresses::read(key, reserve))
                .collect(),
            referrer_token_states,
            obligation,
        })
    }

    /// The addresses of one of the reserves.
    #[must_use]
    pub fn reserve(&self, key: &Address) -> Option<&ReserveAddresses> {
        self.reserves.iter().find(|reserve| reserve.reserve == *key)
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use klend_model::keys::to_v2;

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    #[test]
    fn unset_and_null_keys_are_no_oracle_and_no_farm() {
        let mut reserve = Reserve::zeroed();
        reserve.config.token_info.pyth_configuration.price = to_v2(&NO_ORACLE);
        reserve.config.token_info.scope_configuration.price_feed = to_v2(&key(9));
        let addresses = ReserveAddresses::read(&key(1), &reserve);
        assert_eq!(addresses.oracles, Oracles { scope: Some(key(9)), ..Oracles::default() });
        assert_eq!((addresses.collateral_farm, addresses.debt_farm), (None, None));
    }

    #[test]
    fn slots_are_read_in_order_and_gaps_are_skipped() {
        let mut obligation = Obligation::zeroed();
        obligation.deposits[1].deposit_reserve = to_v2(&key(1));
        obligation.deposits[4].deposit_reserve = to_v2(&key(2));
        obligation.borrows[0].borrow_reserve = to_v2(&key(3));
        obligation.borrows[3].borrow_reserve = to_v2(&key(1));
        let mut addresses = ObligationAddresses::read(&key(7), &obligation);
        assert_eq!(addresses.deposit_reserves, [key(1), key(2)]);
        assert_eq!(addresses.borrow_reserves, [key(3), key(1)]);
        assert_eq!(addresses.distinct_reserves(), [key(1), key(2), key(3)]);
        assert!(addresses.liquidation_tail().is_empty());
        addresses.elevation_group = 2;
        assert_eq!(addresses.liquidation_tail(), [key(1), key(2)]);
    }

    #[test]
    fn states_of_reserves_that_pay_referrers_come_first() {
        let mut obligation = Obligation::zeroed();
        obligation.borrows[0].borrow_reserve = to_v2(&key(1));
        obligation.borrows[1].borrow_reserve = to_v2(&key(2));
        obligation.referrer = to_v2(&key(3));
        let addresses = ObligationAddresses::read(&key(7), &obligation);

        let silent = Reserve::zeroed();
        let mut paying = Reserve::zeroed();
        paying.config.protocol_take_rate_pct = 10;
        let mut market = LendingMarket::zeroed();
        let state = |reserve, is_paid| ReferrerState {
            address: pda::referrer_token_state(&key(3), &reserve),
            reserve,
            is_paid,
        };
        assert_eq!(
            addresses.referrer_token_states(&market, [&silent, &paying]),
            [state(key(1), false), state(key(2), false)],
            "a market without a referral fee takes none"
        );
        market.referral_fee_bps = 1_000;
        assert_eq!(
            addresses.referrer_token_states(&market, [&silent, &paying]),
            [state(key(2), true), state(key(1), false)]
        );
    }
}
