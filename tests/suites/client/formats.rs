//! Bytes on the wire are the ones that the published crate writes and reads.

use flash_liquidator_client::{
    budget::{compile_v0, compile_v1},
    compute_budget::ComputeBudget,
    transaction::{transaction_bytes, wire_bytes},
};
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_transaction::versioned::VersionedTransaction;

#[test]
fn both_formats_are_written_as_nodes_read_them() {
    let key = |byte| Address::new_from_array([byte; 32]);
    for signers in [1, 2, 3] {
        let accounts = (0..6).map(|n| AccountMeta::new(key(10 + n), n < signers - 1)).collect();
        let instructions = [Instruction { program_id: key(2), accounts, data: vec![7; 20] }];
        let compute = ComputeBudget { unit_limit: Some(9_000), unit_price: 5 };
        let v0 = compile_v0(&key(1), &instructions, &[], Hash::default()).unwrap();
        let (v1, budget) = compile_v1(&key(1), &instructions, &compute, Hash::default()).unwrap();
        assert_eq!(budget.bytes, transaction_bytes(&v1));
        for message in [v0, v1] {
            let signatures = vec![[9; 64]; usize::from(signers)];
            let wire = wire_bytes(&signatures, &message);
            assert_eq!(wire.len(), transaction_bytes(&message));
            let transaction = VersionedTransaction {
                signatures: signatures.into_iter().map(Into::into).collect(),
                message,
            };
            assert_eq!(wincode::serialize(&transaction).unwrap(), wire);
            let read: VersionedTransaction = wincode::deserialize(&wire).unwrap();
            assert_eq!(read, transaction);
        }
    }
}
