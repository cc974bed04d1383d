//! The same computations, on the host and in the virtual machine, value by value.
//!
//! What is under test is the compiler that made the program: the platform-tools or the kit
//! in `tools/sbf`, whichever `cargo xtask build` used.

use std::env;
use std::path::{Path, PathBuf};

use kit_check::{COMPUTATIONS, Outcome, Request};
use litesvm::LiteSVM;
use solana_address::Address;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::Message;
use solana_signer::Signer;
use solana_transaction::Transaction;

/// The program in a virtual machine.
struct Machine {
    svm: LiteSVM,
    program: Address,
    payer: Keypair,
}

impl Machine {
    fn new() -> Self {
        let elf = elf_path();
        let program = Address::new_from_array([7; 32]);
        let payer = Keypair::new();
        let mut svm = LiteSVM::new();
        svm.add_program_from_file(program, &elf).unwrap_or_else(|error| {
            panic!("{}: {error:?}; `cargo xtask build` makes it", elf.display())
        });
        svm.airdrop(&payer.pubkey(), 1_000_000_000_000).expect("the payer is funded");
        Self { svm, program, payer }
    }

    fn send(&mut self, data: &[u8]) -> Result<Vec<u8>, String> {
        self.svm.expire_blockhash();
        let instructions = [
            ComputeBudgetInstruction::set_compute_unit_limit(1_400_000),
            Instruction { program_id: self.program, accounts: vec![], data: data.to_vec() },
        ];
        let message = Message::new(&instructions, Some(&self.payer.pubkey()));
        let transaction = Transaction::new(&[&self.payer], message, self.svm.latest_blockhash());
        match self.svm.send_transaction(transaction) {
            Ok(done) => Ok(done.return_data.data),
            Err(failed) => Err(format!("{:?}\n{}", failed.err, failed.meta.logs.join("\n"))),
        }
    }

    fn run(&mut self, request: Request) -> Outcome {
        let (name, _) = COMPUTATIONS[usize::from(request.computation)];
        let data = self
            .send(&request.to_bytes())
            .unwrap_or_else(|error| panic!("{name}, seed {:#x}: {error}", request.seed));
        Outcome::from_bytes(&data).expect("the program returns an outcome")
    }

    /// What differs between host and machine, told by the first value that does.
    fn difference(&mut self, request: Request) -> Option<String> {
        let on_host = request.run().expect("the computation exists");
        let in_machine = self.run(request);
        if on_host == in_machine {
            return None;
        }
        // The first `agreeing` values agree, the first `differing` ones do not.
        let (mut agreeing, mut differing) = (0, on_host.count.max(in_machine.count));
        while differing - agreeing > 1 {
            let limit = agreeing + (differing - agreeing) / 2;
            let part = Request { limit, ..request };
            if part.run() == Some(self.run(part)) { agreeing = limit } else { differing = limit }
        }
        let part = Request { limit: differing, ..request };
        let (on_host, in_machine) = (part.run().expect("it exists").last, self.run(part).last);
        let (name, _) = COMPUTATIONS[usize::from(request.computation)];
        Some(format!(
            "{name}, seed {:#x}: value {agreeing} is {on_host:#x} on the host and \
             {in_machine:#x} in the virtual machine",
            request.seed
        ))
    }
}

/// Where `cargo xtask build` puts it; `SBF_OUT_DIR` when set, as for other Solana tools.
fn elf_path() -> PathBuf {
    let folder = env::var_os("SBF_OUT_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/deploy"),
        PathBuf::from,
    );
    folder.join("kit_check.so")
}

/// A few by default, many with `LONG_TESTS=1` (`cargo xtask test --long`).
fn seeds() -> impl Iterator<Item = u64> {
    let count = if env::var_os("LONG_TESTS").is_some() { 200 } else { 8 };
    (1..=count).map(|n: u64| n.wrapping_mul(0x5851_f42d_4c95_7f2d))
}

#[test]
fn host_and_machine_compute_the_same() {
    let mut machine = Machine::new();
    let mut differences = Vec::new();
    for computation in 0..COMPUTATIONS.len() as u8 {
        // One report per computation: further seeds would tell the same story.
        let difference = seeds()
            .find_map(|seed| machine.difference(Request { computation, seed, limit: u32::MAX }));
        differences.extend(difference);
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// The comparison above is worth something: every computation depends on its seed, and a
/// different value is found at its position.
#[test]
fn differences_are_noticed() {
    let mut machine = Machine::new();
    for computation in 0..COMPUTATIONS.len() as u8 {
        let request = Request { computation, seed: 1, limit: u32::MAX };
        let other = Request { seed: 2, ..request }.run().expect("the computation exists");
        let (name, _) = COMPUTATIONS[usize::from(computation)];
        assert_ne!(machine.run(request).digest, other.digest, "{name} ignores its seed");
        assert!(other.count > 5, "{name} hands over too little");
    }
}

#[test]
fn prefixes_of_a_transcript_agree_too() {
    let mut machine = Machine::new();
    for limit in [0, 1, 2, 100] {
        let request = Request { computation: 4, seed: 99, limit };
        assert_eq!(request.run(), Some(machine.run(request)));
        assert_eq!(machine.run(request).count, limit);
    }
}

#[test]
fn malformed_requests_are_refused() {
    let mut machine = Machine::new();
    let valid = Request { computation: 0, seed: 1, limit: 1 }.to_bytes();
    assert!(machine.send(&valid).is_ok());
    let error = machine.send(&valid[..12]).expect_err("too short");
    assert!(error.contains("InvalidInstructionData"), "{error}");
    let error = machine.send(&[0; 14]).expect_err("too long");
    assert!(error.contains("InvalidInstructionData"), "{error}");
    let unknown = Request { computation: COMPUTATIONS.len() as u8, seed: 1, limit: 1 };
    let error = machine.send(&unknown.to_bytes()).expect_err("no such computation");
    assert!(error.contains("InvalidArgument"), "{error}");
    assert_eq!(Request::from_bytes(&unknown.to_bytes()), Some(unknown));
    assert_eq!(unknown.run(), None);
}
