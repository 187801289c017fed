use sysinfo::System;

/// The operating system, for people: `Debian GNU/Linux 13, Linux 6.12`.
#[cfg(target_os = "linux")]
pub fn system_name() -> String {
    let name = System::name().unwrap_or_else(|_| "Linux".into());
    // A rolling distribution has no version.
    let system = System::os_version().map_or_else(|_| name.clone(), |version| format!("{name} {version}"));
    match System::kernel_version() {
        Ok(kernel) => format!("{system}, Linux {}", release(&kernel)),
        Err(_) => system,
    }
}

/// The operating system, for people.
#[cfg(not(target_os = "linux"))]
pub fn system_name() -> String {
    System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into())
}

/// Of `6.12.41+deb13-amd64` what people call it: `6.12`.
#[cfg(target_os = "linux")]
fn release(kernel: &str) -> &str {
    kernel.match_indices('.').nth(1).map_or(kernel, |(end, _)| &kernel[..end])
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_called_by_two_numbers() {
        assert_eq!(release("6.12.41+deb13-amd64"), "6.12");
        assert_eq!(release("6.12"), "6.12");
        assert_eq!(release("6"), "6");
    }

    #[test]
    fn this_system_is_named_with_its_kernel() {
        let name = system_name();
        assert!(name.contains(", Linux ") && !name.contains('"') && !name.starts_with(','), "{name}");
    }
}
