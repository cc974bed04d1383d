//! The one place where instructions cross from the solana 2.x types of
//! `klend-interface` to the current ones.

use klend_model::keys::{to_address, to_v2};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey_v2::Pubkey;

use super::PROGRAM_ID;

/// An instruction of `klend-interface` in current types.
///
/// `klend-interface` names the mainnet program, both as the program to call and
/// in place of an absent optional account; both become [`PROGRAM_ID`], which
/// differs only for the staging deployment.
pub(super) fn instruction(v2: solana_instruction_v2::Instruction) -> Instruction {
    Instruction {
        program_id: deployed(&v2.program_id),
        accounts: v2
            .accounts
            .into_iter()
            .map(|meta| AccountMeta {
                pubkey: deployed(&meta.pubkey),
                is_signer: meta.is_signer,
                is_writable: meta.is_writable,
            })
            .collect(),
        data: v2.data,
    }
}

/// An optional key in the types of `klend-interface`.
pub(super) fn option(key: Option<Address>) -> Option<Pubkey> {
    key.as_ref().map(to_v2)
}

/// A writable account that does not sign, as a remaining account.
pub(super) fn writable(key: &Address) -> solana_instruction_v2::AccountMeta {
    solana_instruction_v2::AccountMeta::new(to_v2(key), false)
}

/// An account that signs and is not written, as a remaining account.
pub(super) fn signer(key: &Address) -> solana_instruction_v2::AccountMeta {
    solana_instruction_v2::AccountMeta::new_readonly(to_v2(key), true)
}

fn deployed(key: &Pubkey) -> Address {
    if *key == klend_interface::KLEND_PROGRAM_ID { PROGRAM_ID } else { to_address(key) }
}
