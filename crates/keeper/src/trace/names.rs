//! Names of programs and of their instructions, for reading what others sent. A name that
//! is missing here costs nothing but readability.

use flash_liquidator_client::{
    receiver,
    swap::jupiter,
    token::{ASSOCIATED_TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};
use klend_model::constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID};
use liquidation_venues::{
    meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, stand_in, whirlpool,
};
use sha2::{Digest, Sha256};
use solana_address::{Address, address};
use solana_sdk_ids::{
    address_lookup_table, compute_budget, ed25519_program, secp256k1_program, secp256r1_program,
    system_program,
};

/// What a program is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Swaps in a pool.
    Venue,
    /// Leads through venues.
    Router,
    Token,
    System,
    /// Executed by the runtime itself, without a line of log.
    Precompile,
    Other,
}

/// Programs that have a name here; addresses without a constant elsewhere as their own
/// repositories declare them (November 2026).
const PROGRAMS: [(Address, &str, Kind); 23] = [
    (KLEND_PROGRAM_ID, "klend", Kind::Other),
    (FARMS_PROGRAM_ID, "Kamino farms", Kind::Other),
    (SCOPE_PROGRAM_ID, "Scope", Kind::Other),
    (receiver::PROGRAM_ID, "flash-liquidator", Kind::Other),
    (whirlpool::PROGRAM_ID, "Orca Whirlpool", Kind::Venue),
    (whirlpool::IMMUTABLE_PROGRAM_ID, "Orca Whirlpool (immutable)", Kind::Venue),
    (raydium_clmm::PROGRAM_ID, "Raydium CLMM", Kind::Venue),
    (raydium_cpmm::PROGRAM_ID, "Raydium CPMM", Kind::Venue),
    (raydium_amm::PROGRAM_ID, "Raydium AMM v4", Kind::Venue),
    (meteora_dlmm::PROGRAM_ID, "Meteora DLMM", Kind::Venue),
    (SOLFI_V2, "SolFi v2", Kind::Venue),
    (stand_in::PROGRAM_ID, "swap stand-in", Kind::Venue),
    (jupiter::PROGRAM_ID, "Jupiter", Kind::Router),
    (TOKEN_PROGRAM_ID, "SPL Token", Kind::Token),
    (TOKEN_2022_PROGRAM_ID, "Token-2022", Kind::Token),
    (ASSOCIATED_TOKEN_PROGRAM_ID, "token accounts", Kind::Other),
    (system_program::ID, "system program", Kind::System),
    (compute_budget::ID, "compute budget", Kind::Other),
    (address_lookup_table::ID, "lookup tables", Kind::Other),
    (MEMO, "memo", Kind::Other),
    (ed25519_program::ID, "Ed25519 signatures", Kind::Precompile),
    (secp256k1_program::ID, "secp256k1 signatures", Kind::Precompile),
    (secp256r1_program::ID, "secp256r1 signatures", Kind::Precompile),
];

const SOLFI_V2: Address = address!("SV2EYYJyRz2YhfXwXnhNAevDEui5Q6yrfyo13WtupPF");
const MEMO: Address = address!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// Names of instructions by Anchor's convention: the first eight bytes of SHA-256 of
/// `global:` and the name.
const ANCHOR: [(Address, &[&str]); 9] = [
    (
        KLEND_PROGRAM_ID,
        &[
            "refresh_reserve",
            "refresh_reserves_batch",
            "refresh_obligation",
            "refresh_obligation_farms_for_reserve",
            "liquidate_obligation_and_redeem_reserve_collateral",
            "liquidate_obligation_and_redeem_reserve_collateral_v2",
            "flash_borrow_reserve_liquidity",
            "flash_repay_reserve_liquidity",
            "deposit_reserve_liquidity",
            "redeem_reserve_collateral",
            "deposit_obligation_collateral",
            "deposit_obligation_collateral_v2",
            "deposit_reserve_liquidity_and_obligation_collateral",
            "deposit_reserve_liquidity_and_obligation_collateral_v2",
            "withdraw_obligation_collateral",
            "withdraw_obligation_collateral_v2",
            "withdraw_obligation_collateral_and_redeem_reserve_collateral",
            "withdraw_obligation_collateral_and_redeem_reserve_collateral_v2",
            "borrow_obligation_liquidity",
            "borrow_obligation_liquidity_v2",
            "repay_obligation_liquidity",
            "repay_obligation_liquidity_v2",
            "repay_and_withdraw_and_redeem",
            "deposit_and_withdraw",
            "init_obligation",
            "init_obligation_farms_for_reserve",
            "init_user_metadata",
            "init_referrer_token_state",
            "request_elevation_group",
            "set_obligation_order",
            "fill_borrow_order",
        ],
    ),
    (FARMS_PROGRAM_ID, &["set_stake_delegated", "initialize_user", "harvest_reward"]),
    (SCOPE_PROGRAM_ID, &["refresh_price_list", "refresh_chainlink_price"]),
    (receiver::PROGRAM_ID, &["liquidate", "open", "settle", "sweep"]),
    (whirlpool::PROGRAM_ID, &["swap", "swap_v2", "two_hop_swap", "two_hop_swap_v2"]),
    (whirlpool::IMMUTABLE_PROGRAM_ID, &["swap", "swap_v2"]),
    (raydium_clmm::PROGRAM_ID, &["swap", "swap_v2", "swap_router_base_in"]),
    (raydium_cpmm::PROGRAM_ID, &["swap_base_input", "swap_base_output"]),
    (
        jupiter::PROGRAM_ID,
        &[
            "route",
            "shared_accounts_route",
            "exact_out_route",
            "route_v2",
            "shared_accounts_route_v2",
        ],
    ),
];

const TOKEN: [(u8, &str); 22] = [
    (0, "InitializeMint"),
    (1, "InitializeAccount"),
    (3, "Transfer"),
    (4, "Approve"),
    (5, "Revoke"),
    (6, "SetAuthority"),
    (7, "MintTo"),
    (8, "Burn"),
    (9, "CloseAccount"),
    (12, "TransferChecked"),
    (13, "ApproveChecked"),
    (14, "MintToChecked"),
    (15, "BurnChecked"),
    (16, "InitializeAccount2"),
    (17, "SyncNative"),
    (18, "InitializeAccount3"),
    (20, "InitializeMint2"),
    (21, "GetAccountDataSize"),
    (22, "InitializeImmutableOwner"),
    (24, "UiAmountToAmount"),
    (26, "TransferFeeExtension"),
    (255, "Batch"),
];
const SYSTEM: [(u8, &str); 6] = [
    (0, "CreateAccount"),
    (1, "Assign"),
    (2, "Transfer"),
    (3, "CreateAccountWithSeed"),
    (4, "AdvanceNonceAccount"),
    (8, "Allocate"),
];
const BUDGET: [(u8, &str); 4] = [
    (1, "RequestHeapFrame"),
    (2, "SetComputeUnitLimit"),
    (3, "SetComputeUnitPrice"),
    (4, "SetLoadedAccountsDataSizeLimit"),
];
const ASSOCIATED: [(u8, &str); 3] = [(0, "Create"), (1, "CreateIdempotent"), (2, "RecoverNested")];

/// A program's name, if it has one here.
pub fn known(program: &Address) -> Option<&'static str> {
    PROGRAMS.iter().find(|(id, ..)| id == program).map(|(_, name, _)| *name)
}

/// A program's name, or its address.
pub fn program(id: &Address) -> String {
    known(id).map_or_else(|| id.to_string(), str::to_owned)
}

/// What a program is there for.
pub fn kind(program: &Address) -> Kind {
    PROGRAMS.iter().find(|(id, ..)| id == program).map_or(Kind::Other, |(.., kind)| *kind)
}

/// An instruction's name by its data, as Anchor programs log it.
pub fn instruction(program: &Address, data: &[u8]) -> Option<String> {
    let by_tag = |names: &[(u8, &str)]| {
        let tag = data.first().copied().unwrap_or_default();
        names.iter().find(|(known, _)| *known == tag).map(|(_, name)| (*name).to_owned())
    };
    if kind(program) == Kind::Token {
        return by_tag(&TOKEN);
    }
    match *program {
        system_program::ID => return by_tag(&SYSTEM),
        compute_budget::ID => return by_tag(&BUDGET),
        ASSOCIATED_TOKEN_PROGRAM_ID => return by_tag(&ASSOCIATED),
        _ => {}
    }
    let (_, names) = ANCHOR.iter().find(|(id, _)| id == program)?;
    let name = names.iter().find(|name| data.starts_with(&discriminator(name)))?;
    Some(camel(name))
}

/// The first bytes of an Anchor program's instruction.
fn discriminator(name: &str) -> [u8; 8] {
    let hash = Sha256::digest(format!("global:{name}"));
    std::array::from_fn(|at| hash[at])
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect::<String>()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First bytes as transactions on mainnet have them (slots 436,365,632 and
    /// 434,724,141), beside the names their programs logged.
    #[test]
    fn instructions_are_named_as_their_programs_name_them() {
        let cases: [(Address, [u8; 8], &str); 5] = [
            (SCOPE_PROGRAM_ID, [83, 186, 207, 131, 203, 254, 198, 130], "RefreshPriceList"),
            (KLEND_PROGRAM_ID, [144, 110, 26, 103, 162, 204, 252, 147], "RefreshReservesBatch"),
            (KLEND_PROGRAM_ID, [33, 132, 147, 228, 151, 192, 72, 89], "RefreshObligation"),
            (
                KLEND_PROGRAM_ID,
                [162, 161, 35, 143, 30, 187, 185, 103],
                "LiquidateObligationAndRedeemReserveCollateralV2",
            ),
            (raydium_clmm::PROGRAM_ID, [43, 4, 237, 11, 26, 201, 30, 98], "SwapV2"),
        ];
        for (program, data, name) in cases {
            assert_eq!(instruction(&program, &data).as_deref(), Some(name));
        }
        assert_eq!(instruction(&TOKEN_PROGRAM_ID, &[12, 1]).as_deref(), Some("TransferChecked"));
        assert_eq!(instruction(&ASSOCIATED_TOKEN_PROGRAM_ID, &[]).as_deref(), Some("Create"));
        assert_eq!(instruction(&compute_budget::ID, &[3]).as_deref(), Some("SetComputeUnitPrice"));
        assert_eq!(instruction(&KLEND_PROGRAM_ID, &[0; 8]), None);
        assert_eq!(instruction(&Address::new_from_array([7; 32]), &[1]), None);
    }

    #[test]
    fn no_program_has_two_names() {
        let mut ids: Vec<Address> = PROGRAMS.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), PROGRAMS.len());
        assert_eq!(program(&jupiter::PROGRAM_ID), "Jupiter");
        let unknown = Address::new_from_array([7; 32]);
        assert_eq!(program(&unknown), unknown.to_string());
    }
}
