//! The devops set of TSBS: hosts, each with ten tags, whose CPUs are measured.

/// Fields of the measurement `cpu`.
pub const FIELD_NAMES: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// A host's tags as line protocol writes them, behind the measurement and a comma.
pub fn tags(host: usize) -> String {
    let region = ["eu-central-1", "us-west-2", "sa-east-1", "ap-southeast-1"][host % 4];
    let os = ["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"][host % 3];
    format!(
        "hostname=host_{host},region={region},datacenter={region}{},rack={},os={os},arch={},team={},service={},\
         service_version={},service_environment={}",
        ["a", "b", "c"][host % 3],
        host % 100,
        ["x86", "x64"][host % 2],
        ["SF", "NYC", "LON", "CHI"][host % 4],
        host % 20,
        host % 2,
        ["test", "staging", "production"][host % 3],
    )
}
