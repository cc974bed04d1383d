//! Routes of the Jupiter aggregator, from an answer of its `/swap-instructions`.
//!
//! Ask for a quote with `swapMode=ExactIn` and a conservative `amount`, then for
//! instructions with `userPublicKey` set to the **swap authority** and
//! `wrapAndUnwrapSol: false`; set `destinationTokenAccount` to have the proceeds
//! paid to the keeper directly. Accounts and data are passed through; the
//! input amount in the data is found by the instruction's layout, held against
//! the quote, and rewritten on chain to what is really there.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};

use crate::receiver::SwapLeg;

/// Jupiter's aggregator, version 6.
pub const PROGRAM_ID: Address = address!("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4");

/// Creates associated token accounts.
const ASSOCIATED_TOKEN_PROGRAM_ID: Address = spl_associated_token_account_interface::program::ID;

/// Bytes behind the route plan in the first generation's instructions: input
/// and quoted output (u64), slippage in bps (u16), platform fee in bps (u8).
const TAIL: usize = 8 + 8 + 2 + 1;

/// Why an answer cannot become a leg.
#[derive(Debug, thiserror::Error)]
pub enum JupiterError {
    /// Not the JSON that `/swap-instructions` answers with.
    #[error("not an answer of /swap-instructions: {0}")]
    Json(#[from] serde_json::Error),
    /// The API answered with an error of its own.
    #[error("Jupiter answered: {0}")]
    Refused(String),
    /// The swap calls another program.
    #[error("the swap instruction calls {actual}, expected Jupiter {PROGRAM_ID}")]
    OtherProgram {
        /// The program it calls.
        actual: Address,
    },
    /// An instruction whose input cannot be set.
    #[error(
        "the swap instruction begins with {discriminator:02x?}, which is no exact-in route: ask for swapMode=ExactIn without a token ledger"
    )]
    NotExactIn {
        /// First bytes of its data.
        discriminator: Vec<u8>,
    },
    /// The data is shorter than its layout.
    #[error("the swap instruction has {actual} bytes of data, expected at least {expected}")]
    TooShort {
        /// Bytes there.
        actual: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The data does not hold the quoted input where its layout has it.
    #[error("the swap instruction sells {actual} (offset {offset}), the quote was for {expected}")]
    OtherAmount {
        /// Where the input was looked for.
        offset: usize,
        /// What is there.
        actual: u64,
        /// The quoted input.
        expected: u64,
    },
    /// Somebody else has to sign.
    #[error("the swap wants the signature of {actual}; only the swap authority {expected} signs")]
    OtherSigner {
        /// Who else.
        actual: Address,
        /// The swap authority.
        expected: Address,
    },
    /// The swap authority does not sign, so the route was made for another user.
    #[error("the swap was made for another user than the swap authority {expected}")]
    OtherUser {
        /// The swap authority.
        expected: Address,
    },
    /// Something beside the swap that a leg cannot do.
    #[error("the answer has a {what} that a leg cannot run: {remedy}")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// What to ask for instead.
        remedy: &'static str,
    },
}

/// A Jupiter route, ready to be a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JupiterRoute {
    /// The leg.
    pub leg: SwapLeg,
    /// Lookup tables that hold the route's accounts.
    pub lookup_tables: Vec<Address>,
    /// Token accounts the route wants created before, paid for by the payer
    /// given to [`read`].
    pub setup: Vec<Instruction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    error: Option<String>,
    token_ledger_instruction: Option<WireInstruction>,
    #[serde(default)]
    setup_instructions: Vec<WireInstruction>,
    swap_instruction: Option<WireInstruction>,
    cleanup_instruction: Option<WireInstruction>,
    #[serde(default)]
    other_instructions: Vec<WireInstruction>,
    #[serde(default)]
    address_lookup_table_addresses: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInstruction {
    program_id: Key,
    accounts: Vec<WireMeta>,
    #[serde(deserialize_with = "base64_bytes")]
    data: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    pubkey: Key,
    is_signer: bool,
    is_writable: bool,
}

struct Key(Address);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom(format!("{text:?} is not an address")))
    }
}

fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl WireInstruction {
    fn metas(&self) -> Vec<AccountMeta> {
        self.accounts
            .iter()
            .map(|meta| AccountMeta {
                pubkey: meta.pubkey.0,
                is_signer: meta.is_signer,
                is_writable: meta.is_writable,
            })
            .collect()
    }
}

/// Reads an answer of `/swap-instructions`.
///
/// `in_amount` is the quote's input; `token` says which token the leg sells (0
/// is the collateral, `n` the n-th intermediate); `payer` pays for the token
/// accounts in [`JupiterRoute::setup`].
///
/// # Errors
/// [`JupiterError`].
pub fn read(
    json: &str,
    swap_authority: &Address,
    payer: &Address,
    in_amount: u64,
    token: u8,
) -> Result<JupiterRoute, JupiterError> {
    let answer: Answer = serde_json::from_str(json)?;
    if let Some(error) = answer.error {
        return Err(JupiterError::Refused(error));
    }
    let unsupported = |what, remedy| Err(JupiterError::Unsupported { what, remedy });
    if answer.token_ledger_instruction.is_some() {
        return unsupported("token ledger", "set useTokenLedger to false");
    }
    if answer.cleanup_instruction.is_some() {
        return unsupported("cleanup instruction", "set wrapAndUnwrapSol to false");
    }
    if !answer.other_instructions.is_empty() {
        return unsupported("further instruction", "leave tips and trackers out of the request");
    }
    let Some(swap) = answer.swap_instruction else {
        return unsupported("missing swap instruction", "ask /swap-instructions, not /swap");
    };
    let setup = answer
        .setup_instructions
        .iter()
        .map(|instruction| token_account_setup(instruction, payer))
        .collect::<Result<_, _>>()?;

    if swap.program_id.0 != PROGRAM_ID {
        return Err(JupiterError::OtherProgram { actual: swap.program_id.0 });
    }
    let accounts = swap.metas();
    let mut signers = accounts.iter().filter(|meta| meta.is_signer).map(|meta| meta.pubkey);
    if let Some(actual) = signers.clone().find(|signer| signer != swap_authority) {
        return Err(JupiterError::OtherSigner { actual, expected: *swap_authority });
    }
    if signers.next().is_none() {
        return Err(JupiterError::OtherUser { expected: *swap_authority });
    }
    let offset = amount_in_offset(&swap.data)?;
    let too_short =
        JupiterError::TooShort { actual: swap.data.len(), expected: offset + size_of::<u64>() };
    let Some(bytes) = swap.data.get(offset..).and_then(|tail| tail.first_chunk()) else {
        return Err(too_short);
    };
    let actual = u64::from_le_bytes(*bytes);
    if actual != in_amount {
        return Err(JupiterError::OtherAmount { offset, actual, expected: in_amount });
    }
    let Ok(offset) = u16::try_from(offset) else {
        return unsupported("route plan that long", "set maxAccounts");
    };
    Ok(JupiterRoute {
        leg: SwapLeg {
            program: PROGRAM_ID,
            accounts,
            input: token,
            amount_in_offset: Some(offset),
            data: swap.data,
        },
        lookup_tables: answer.address_lookup_table_addresses.iter().map(|key| key.0).collect(),
        setup,
    })
}

/// Where a route instruction keeps its input.
fn amount_in_offset(data: &[u8]) -> Result<usize, JupiterError> {
    /// `route` and `shared_accounts_route`: behind the route plan.
    const ROUTES: [[u8; 8]; 2] =
        [[229, 23, 203, 151, 122, 227, 173, 42], [193, 32, 155, 51, 65, 214, 156, 129]];
    /// `route_v2`: right behind the discriminator.
    const ROUTE_V2: [u8; 8] = [187, 100, 250, 204, 49, 196, 175, 20];
    /// `shared_accounts_route_v2`: behind the shared accounts' id.
    const SHARED_ACCOUNTS_ROUTE_V2: [u8; 8] = [209, 152, 83, 147, 124, 254, 216, 233];

    let discriminator = data.first_chunk::<8>();
    match discriminator {
        Some(found) if ROUTES.contains(found) => data
            .len()
            .checked_sub(TAIL)
            .filter(|offset| *offset >= 8)
            .ok_or(JupiterError::TooShort { actual: data.len(), expected: 8 + TAIL }),
        Some(&ROUTE_V2) => Ok(8),
        Some(&SHARED_ACCOUNTS_ROUTE_V2) => Ok(9),
        _ => Err(JupiterError::NotExactIn { discriminator: data[..data.len().min(8)].to_vec() }),
    }
}

/// The creation of an associated token account, paid for by the payer instead
/// of the user, who is a PDA and cannot sign.
fn token_account_setup(
    instruction: &WireInstruction,
    payer: &Address,
) -> Result<Instruction, JupiterError> {
    let mut accounts = instruction.metas();
    if instruction.program_id.0 != ASSOCIATED_TOKEN_PROGRAM_ID || accounts.len() < 6 {
        return Err(JupiterError::Unsupported {
            what: "setup instruction other than creating a token account",
            remedy: "set wrapAndUnwrapSol to false",
        });
    }
    accounts[0] = AccountMeta::new(*payer, true);
    Ok(Instruction {
        program_id: ASSOCIATED_TOKEN_PROGRAM_ID,
        accounts,
        data: instruction.data.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "Cm7vjoV12JuVqCduW6rkGGcgN77NPkzqZr66pkVTzb5b";
    /// 0.051586500 SOL, the recorded route's input.
    const IN_AMOUNT: u64 = 51_586_500;

    /// A swap instruction that Jupiter's API answered with on 2025-10-28: SOL to
    /// USDC over one venue.
    fn recorded() -> serde_json::Value {
        let readonly =
            |key: &str| serde_json::json!({"pubkey": key, "isSigner": false, "isWritable": false});
        let writable =
            |key: &str| serde_json::json!({"pubkey": key, "isSigner": false, "isWritable": true});
        serde_json::json!({
            "tokenLedgerInstruction": null,
            "computeBudgetInstructions": [{
                "programId": "ComputeBudget111111111111111111111111111111",
                "accounts": [],
                "data": "AsBcFQA="
            }],
            "setupInstructions": [],
            "swapInstruction": {
                "programId": "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4",
                "accounts": [
                    readonly("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
                    {"pubkey": USER, "isSigner": true, "isWritable": false},
                    writable("FkHuP6FSfa8x1WY43U224RU7d9yLodB3XEeNAytX68ZB"),
                    writable("2ecynoqxYJWM5McNv9qnLgLGRsGfzdjLHRmWEnyhPJZ4"),
                    readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                    readonly("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
                    readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                    readonly("D8cy77BBepLMngZx6ZukaTff5hCt1HrWyKk3Hnd9oitf"),
                    readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                    readonly("TessVdML9pBGgG9yGks7o4HewRaXVAMuoVj4x83GLQH"),
                    readonly("8ekCy2jHHUbW2yeNGFWYJT9Hm9FW7SvZcZK66dSZCDiF"),
                    writable("FLckHLGMJy5gEoXWwcE68Nprde1D4araK4TGLw4pQq2n"),
                    readonly(USER),
                    writable("5pVN5XZB8cYBjNLFrsBCPWkCQBan5K5Mq2dWGzwPgGJV"),
                    writable("9t4P5wMwfFkyn92Z7hf463qYKEZf8ERVZsGBEPNp8uJx"),
                ],
                "data": "5RfLl3rjrSoBAAAAWQFkAAHEJRMDAAAAALmamAAAAAAAAAAA"
            },
            "cleanupInstruction": null,
            "otherInstructions": [],
            "addressLookupTableAddresses": ["9AKCoNoAGYLW71TwTHY9e7KrZUWWL3c7VtHKb66NT3EV"],
            "prioritizationFeeLamports": 0,
            "computeUnitLimit": 1_400_000,
            "simulationError": null
        })
    }

    fn payer() -> Address {
        Address::new_from_array([7; 32])
    }

    fn read_value(value: &serde_json::Value) -> Result<JupiterRoute, JupiterError> {
        let user = USER.parse().unwrap();
        read(&value.to_string(), &user, &payer(), IN_AMOUNT, 0)
    }

    #[test]
    fn a_recorded_answer_becomes_a_leg() {
        let route = read_value(&recorded()).unwrap();
        assert_eq!(route.leg.program, PROGRAM_ID);
        assert_eq!(route.leg.accounts.len(), 15);
        assert_eq!(
            route.leg.accounts[2].pubkey.to_string(),
            "FkHuP6FSfa8x1WY43U224RU7d9yLodB3XEeNAytX68ZB"
        );
        assert!(route.leg.accounts[2].is_writable && !route.leg.accounts[0].is_writable);
        assert_eq!(route.leg.amount_in_offset, Some(17));
        assert_eq!(route.leg.data[17..25], IN_AMOUNT.to_le_bytes());
        assert_eq!(route.lookup_tables.len(), 1);
        assert_eq!(route.setup, []);
    }

    #[test]
    fn the_second_generation_keeps_its_input_in_front() {
        // route_v2 of 100,000,000 quoted at 461,208,958 with 50 bps of slippage.
        let data = STANDARD.decode("u2T6zDHErxQA4fUFAAAAAH59fRsAAAAAMgAAAAAAAAAAAA==").unwrap();
        assert_eq!(amount_in_offset(&data).unwrap(), 8);
        assert_eq!(data[8..16], 100_000_000u64.to_le_bytes());
        assert_eq!(data[16..24], 461_208_958u64.to_le_bytes());
        let shared = [209, 152, 83, 147, 124, 254, 216, 233];
        assert_eq!(amount_in_offset(&shared).unwrap(), 9);
    }

    #[test]
    fn another_amount_than_the_quoted_one_is_refused() {
        let json = recorded().to_string();
        let error = read(&json, &USER.parse().unwrap(), &payer(), IN_AMOUNT + 1, 0).unwrap_err();
        let JupiterError::OtherAmount { offset: 17, actual, expected } = error else {
            panic!("{error}");
        };
        assert_eq!((actual, expected), (IN_AMOUNT, IN_AMOUNT + 1));
    }

    #[test]
    fn only_the_swap_authority_signs() {
        let other = Address::new_from_array([9; 32]);
        let json = recorded().to_string();
        let error = read(&json, &other, &payer(), IN_AMOUNT, 0).unwrap_err();
        assert!(matches!(error, JupiterError::OtherSigner { expected, .. } if expected == other));

        let mut answer = recorded();
        answer["swapInstruction"]["accounts"][1]["isSigner"] = false.into();
        assert!(matches!(read_value(&answer), Err(JupiterError::OtherUser { .. })));
    }

    #[test]
    fn what_a_leg_cannot_do_is_refused() {
        let memo = serde_json::json!({
            "programId": "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "accounts": [], "data": ""
        });
        for (field, value) in [
            ("tokenLedgerInstruction", memo.clone()),
            ("cleanupInstruction", memo.clone()),
            ("otherInstructions", serde_json::json!([memo])),
            ("setupInstructions", serde_json::json!([memo])),
            ("swapInstruction", serde_json::Value::Null),
        ] {
            let mut answer = recorded();
            answer[field] = value;
            let error = read_value(&answer).unwrap_err();
            assert!(matches!(error, JupiterError::Unsupported { .. }), "{field}: {error}");
        }
        let mut answer = recorded();
        answer["swapInstruction"]["programId"] = memo["programId"].clone();
        assert!(matches!(read_value(&answer), Err(JupiterError::OtherProgram { .. })));
        // exact_out_route
        answer = recorded();
        answer["swapInstruction"]["data"] =
            STANDARD.encode([208, 51, 239, 151, 123, 43, 237, 92]).into();
        assert!(matches!(read_value(&answer), Err(JupiterError::NotExactIn { .. })));
        answer["swapInstruction"]["data"] =
            STANDARD.encode([229, 23, 203, 151, 122, 227, 173, 42, 1]).into();
        assert!(matches!(read_value(&answer), Err(JupiterError::TooShort { .. })));
        answer["swapInstruction"]["data"] =
            STANDARD.encode([187, 100, 250, 204, 49, 196, 175, 20, 1]).into();
        assert!(matches!(read_value(&answer), Err(JupiterError::TooShort { .. })));
        assert!(matches!(
            read_value(&serde_json::json!({"error": "no route", "errorCode": "NO_ROUTE"})),
            Err(JupiterError::Refused(reason)) if reason == "no route"
        ));
    }

    #[test]
    fn missing_token_accounts_are_created_at_the_payers_cost() {
        let mint = Address::new_from_array([3; 32]);
        let user: Address = USER.parse().unwrap();
        let create = crate::token::create_associated_token_account(
            &user,
            &user,
            &mint,
            &crate::token::TOKEN_PROGRAM_ID,
        );
        let mut answer = recorded();
        answer["setupInstructions"] = serde_json::json!([{
            "programId": create.program_id.to_string(),
            "accounts": create.accounts.iter().map(|meta| serde_json::json!({
                "pubkey": meta.pubkey.to_string(),
                "isSigner": meta.is_signer,
                "isWritable": meta.is_writable,
            })).collect::<Vec<_>>(),
            "data": STANDARD.encode(&create.data),
        }]);
        let expected = crate::token::create_associated_token_account(
            &payer(),
            &user,
            &mint,
            &crate::token::TOKEN_PROGRAM_ID,
        );
        assert_eq!(read_value(&answer).unwrap().setup, [expected]);
    }
}
