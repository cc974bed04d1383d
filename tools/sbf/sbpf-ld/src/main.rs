//! Last step of `sbf-link`: turns the BPF object file of a whole program into the ELF
//! that Solana's loader takes, with relocations, syscall hashes and the entrypoint.

use std::process::ExitCode;

use sbpf_linker::{OptimizationConfig, ProgramOptions, SbpfArch, SbpfLinkerError, link_program};

/// Size of a stack frame of the virtual machine.
const STACK_FRAME_BYTES: i32 = 4096;

fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [arch, object, output] = arguments.as_slice() else {
        return Err("usage: sbpf-ld v0|v3 IN.o OUT.so".into());
    };
    let arch = match arch.as_str() {
        "v0" => SbpfArch::V0,
        "v3" => SbpfArch::V3,
        other => return Err(format!("sBPF version {other} is neither v0 nor v3")),
    };
    let object = std::fs::read(object).map_err(|error| format!("{object}: {error}"))?;
    let options = ProgramOptions::new(OptimizationConfig::enabled(), arch, STACK_FRAME_BYTES);
    let elf = link_program(&object, options).map_err(|e| SbpfLinkerError::format_errors(&e))?;
    std::fs::write(output, elf).map_err(|error| format!("{output}: {error}"))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sbpf-ld: {message}");
            ExitCode::FAILURE
        }
    }
}
