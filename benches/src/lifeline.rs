//! A suite does not outlive the program that started it.
//!
//! A suite that went on after its program was killed would load the machine for minutes, unseen,
//! under whatever is measured next. So it asks the kernel to be killed when its parent ends.

use crate::suite::BenchError;

/// Process number of the program that started this process and whose end has to be its end.
pub(crate) const PARENT_VARIABLE: &str = "NEURECTOMY_BENCH_PARENT";

/// Ends this process when its parent ends, where the environment asks for it; on Linux only.
///
/// # Errors
/// The system refuses, or the parent has ended already.
#[cfg(target_os = "linux")]
pub(crate) fn end_with_parent() -> Result<(), BenchError> {
    let Some(text) = std::env::var_os(PARENT_VARIABLE) else {
        return Ok(());
    };
    let asked: Option<u32> = text.to_str().and_then(|text| text.parse().ok());
    let Some(parent) = asked else {
        let message = format!(
            "{PARENT_VARIABLE} is {}; allowed: a process number",
            text.display()
        );
        return Err(message.into());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // It may have ended before the kernel was asked.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(format!("process {parent}, which started this suite, has ended").into())
    }
}

/// Nothing: other systems have no such request.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
pub(crate) fn end_with_parent() -> Result<(), BenchError> {
    Ok(())
}
