//! The stand-in's constants against klend's published interface.

use std::mem::offset_of;

use bytemuck::Zeroable as _;
use klend_interface::{LendingError, discriminators, pda, state as published};
use klend_stand_in::{
    accounts, discriminator,
    error::{AnchorError, KlendError},
    math::Fraction,
    state::{self, Layout, PermissionedOp, PriceStatus},
};
use published::SplDiscriminate as _;

#[test]
fn program_ids() {
    let same = |ours: &solana_program::pubkey::Pubkey, theirs: &solana_pubkey_v2::Pubkey| {
        assert_eq!(ours.to_bytes(), theirs.to_bytes());
    };
    same(&klend_stand_in::ID, &klend_interface::KLEND_PROGRAM_ID);
    same(&state::FARMS_PROGRAM_ID, &klend_interface::FARMS_PROGRAM_ID);
    same(&accounts::TOKEN_PROGRAM_ID, &klend_interface::TOKEN_PROGRAM_ID);
}

#[test]
fn discriminators_hash_the_instruction_names() {
    for (name, bytes) in discriminator::ALL {
        assert_eq!(*bytes, discriminators::compute_discriminator(&name.to_lowercase()), "{name}");
    }
}

#[test]
fn error_numbers_carry_klends_names() {
    for (error, name) in KlendError::ALL {
        let published = LendingError::from_error_code(error.number())
            .unwrap_or_else(|| panic!("{name} is not klend's"));
        assert_eq!(format!("{published:?}"), *name);
    }
    for (error, name) in AnchorError::ALL {
        assert!(error.number() < 6_000, "{name}");
    }
}

#[test]
fn accounts_have_klends_discriminators_and_sizes() {
    fn same<Ours: Layout, Theirs: published::SplDiscriminate>() {
        assert_eq!(Ours::DISCRIMINATOR, Theirs::SPL_DISCRIMINATOR_SLICE);
        assert_eq!(size_of::<Ours>(), size_of::<Theirs>());
    }
    same::<state::Reserve, published::Reserve>();
    same::<state::Obligation, published::Obligation>();
    same::<state::LendingMarket, published::LendingMarket>();
    same::<state::UserMetadata, published::UserMetadata>();
    same::<state::ReferrerTokenState, published::ReferrerTokenState>();
    same::<state::GlobalConfig, published::GlobalConfig>();
    assert_eq!(published::Reserve::SPL_DISCRIMINATOR_SLICE.len(), state::DISCRIMINATOR_LEN);
}

/// Equal offsets of fields that both layouts name, alike or differently.
macro_rules! same_offsets {
    ($ours:ty, $theirs:ty { $($field:ident $(= $published:ident)?),* $(,)? }) => {
        $(same_offsets!(@one $ours, $theirs, $field $(, $published)?);)*
    };
    (@one $ours:ty, $theirs:ty, $field:ident) => {
        same_offsets!(@one $ours, $theirs, $field, $field)
    };
    (@one $ours:ty, $theirs:ty, $field:ident, $published:ident) => {
        assert_eq!(
            offset_of!($ours, $field),
            offset_of!($theirs, $published),
            stringify!($field)
        );
    };
}

#[test]
fn fields_are_where_klend_has_them() {
    same_offsets!(state::Reserve, published::Reserve {
        version, last_update, lending_market, farm_collateral, farm_debt, liquidity, collateral,
        config, borrowed_amount_outside_elevation_group,
        borrowed_amounts_against_this_reserve_in_elevation_groups,
        queued_collateral_amount = withdraw_queue,
    });
    same_offsets!(state::ReserveLiquidity, published::ReserveLiquidity {
        mint = mint_pubkey, supply_vault, fee_vault, total_available_amount, borrowed_amount_sf,
        market_price_sf, market_price_last_updated_ts, mint_decimals,
        deposit_limit_crossed_timestamp, borrow_limit_crossed_timestamp,
        cumulative_borrow_rate_bsf, accumulated_protocol_fees_sf, accumulated_referrer_fees_sf,
        pending_referrer_fees_sf, absolute_referral_rate_sf, token_program,
    });
    same_offsets!(state::ReserveCollateral, published::ReserveCollateral {
        mint = mint_pubkey, mint_total_supply, supply_vault,
    });
    same_offsets!(state::ReserveConfig, published::ReserveConfig {
        status, host_fixed_interest_rate_bps, min_deleveraging_bonus_bps, block_ctoken_usage,
        emergency_mode, protocol_order_execution_fee_pct, protocol_take_rate_pct,
        protocol_liquidation_fee_pct, loan_to_value_pct, liquidation_threshold_pct,
        min_liquidation_bonus_bps, max_liquidation_bonus_bps, bad_debt_liquidation_bonus_bps,
        deleveraging_margin_call_period_secs, deleveraging_threshold_decrease_bps_per_day,
        origination_fee_sf = fees, borrow_rate_curve, borrow_factor_pct, deposit_limit,
        borrow_limit, token_info, deposit_withdrawal_cap, debt_withdrawal_cap, elevation_groups,
        disable_usage_as_coll_outside_emode, utilization_limit_block_borrowing_above_pct,
        autodeleverage_enabled, borrow_limit_outside_elevation_group,
        borrow_limit_against_this_collateral_in_elevation_group,
        deleveraging_bonus_increase_bps_per_day, debt_maturity_timestamp, debt_term_seconds,
        permissioned_ops,
    });
    assert_eq!(
        offset_of!(state::ReserveConfig, flash_loan_fee_sf)
            - offset_of!(state::ReserveConfig, origination_fee_sf),
        offset_of!(published::ReserveFees, flash_loan_fee_sf)
    );
    same_offsets!(state::TokenInfo, published::TokenInfo {
        name, heuristic_lower = heuristic, max_twap_divergence_bps, max_age_price_seconds,
        max_age_twap_seconds, scope = scope_configuration,
        switchboard_price = switchboard_configuration, pyth_price = pyth_configuration,
        block_price_usage,
    });
    same_offsets!(
        state::Obligation,
        published::Obligation {
            tag,
            last_update,
            lending_market,
            owner,
            deposits,
            lowest_reserve_deposit_liquidation_ltv,
            deposited_value_sf,
            borrows,
            borrow_factor_adjusted_debt_value_sf,
            borrowed_assets_market_value_sf,
            allowed_borrow_value_sf,
            unhealthy_borrow_value_sf,
            elevation_group,
            num_of_obsolete_deposit_reserves,
            has_debt,
            referrer,
            borrowing_disabled,
            autodeleverage_target_ltv_pct,
            lowest_reserve_deposit_max_ltv_pct,
            num_of_obsolete_borrow_reserves,
            highest_borrow_factor_pct,
            autodeleverage_margin_call_started_timestamp,
            obligation_orders,
            borrow_order,
        }
    );
    same_offsets!(state::ObligationCollateral, published::ObligationCollateral {
        deposit_reserve, deposited_amount, market_value_sf,
        borrowed_amount_against_this_collateral_in_elevation_group =
            borrowed_amount_against_this_collateral_in_elevation_group,
    });
    same_offsets!(
        state::ObligationLiquidity,
        published::ObligationLiquidity {
            borrow_reserve,
            cumulative_borrow_rate_bsf,
            last_borrowed_at_timestamp,
            borrowed_amount_sf,
            market_value_sf,
            borrow_factor_adjusted_market_value_sf,
            borrowed_amount_outside_elevation_groups,
            borrowed_amount_at_expiration,
        }
    );
    same_offsets!(
        state::ObligationOrder,
        published::ObligationOrder {
            condition_threshold_sf,
            opportunity_parameter_sf,
            min_execution_bonus_bps,
            max_execution_bonus_bps,
            condition_type,
            opportunity_type,
        }
    );
    same_offsets!(
        state::BorrowOrder,
        published::BorrowOrder {
            debt_liquidity_mint,
            remaining_debt_amount,
            fillable_until_timestamp,
            active,
        }
    );
    same_offsets!(state::LendingMarket, published::LendingMarket {
        version, bump_seed, owner = lending_market_owner, referral_fee_bps, emergency_mode,
        autodeleverage_enabled, borrow_disabled, price_refresh_trigger_to_max_age_pct,
        liquidation_max_debt_close_factor_pct, insolvency_risk_unhealthy_ltv_pct,
        min_full_liquidation_value_threshold, max_liquidatable_debt_market_value_at_once,
        global_allowed_borrow_value, elevation_groups, min_net_value_in_obligation_sf,
        min_value_skip_liquidation_ltv_checks, min_value_skip_liquidation_bf_checks,
        individual_autodeleverage_margin_call_period_secs, obligation_order_execution_enabled,
        price_triggered_liquidation_disabled, mature_reserve_debt_liquidation_enabled,
        obligation_borrow_debt_term_liquidation_enabled,
        term_based_full_liquidation_duration_secs, permissioning_authority, permissioned_ops,
    });
    same_offsets!(
        state::ElevationGroup,
        published::ElevationGroup {
            max_liquidation_bonus_bps,
            id,
            ltv_pct,
            liquidation_threshold_pct,
            allow_new_loans,
            max_reserves_as_collateral,
            debt_reserve,
        }
    );
    same_offsets!(
        state::UserMetadata,
        published::UserMetadata { referrer, bump, user_lookup_table, owner }
    );
    same_offsets!(state::ReferrerTokenState, published::ReferrerTokenState { referrer, mint });
}

#[test]
fn flags_and_fractions_mean_the_same() {
    use published::PermissionedOp as Published;
    assert_eq!(PermissionedOp::DEPOSIT, Published::DEPOSIT.bits());
    assert_eq!(PermissionedOp::BORROW, Published::BORROW.bits());
    assert_eq!(PermissionedOp::LIQUIDATE, Published::LIQUIDATE.bits());
    assert_eq!(Fraction::ONE.to_bits(), klend_interface::fraction::FRACTION_ONE_SCALED);
    assert!(PriceStatus::ALL.contains(PriceStatus::LIQUIDATION));
    // Published arithmetic of the same fixed-point type.
    let ours = Fraction::from_bps(12_345) * Fraction::from_percent(67) / Fraction::from_bps(89);
    let theirs = |bits: u128| klend_interface::Fraction::from_bits(bits);
    let expected = theirs(Fraction::from_bps(12_345).to_bits())
        * theirs(Fraction::from_percent(67).to_bits())
        / theirs(Fraction::from_bps(89).to_bits());
    assert_eq!(ours.to_bits(), expected.to_bits());
}

#[test]
fn the_market_authority_is_klends() {
    let market = solana_pubkey_v2::Pubkey::new_from_array([7; 32]);
    let (authority, bump) =
        pda::lending_market_authority(&klend_interface::KLEND_PROGRAM_ID, &market);
    let ours = solana_program::pubkey::Pubkey::create_program_address(
        &[accounts::MARKET_AUTHORITY_SEED, &[7; 32], &[bump]],
        &klend_stand_in::ID,
    )
    .expect("klend's bump gives an address");
    assert_eq!(ours.to_bytes(), authority.to_bytes());
    assert_eq!(accounts::GLOBAL_CONFIG_SEED, pda::GLOBAL_CONFIG_STATE);
    assert_eq!(state::LendingMarket::zeroed().elevation_group(0).map(|group| group.id), None);
}
