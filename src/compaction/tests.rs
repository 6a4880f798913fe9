use super::*;

#[test]
fn a_plan_takes_the_newest_run_in_which_no_part_dwarfs_those_after_it() {
    assert_eq!(plan(&[1, 1, 1]), None);
    assert_eq!(plan(&[1, 1, 1, 1]), Some(0..4));
    assert_eq!(plan(&[100, 1, 1, 1, 1]), Some(1..5));
    assert_eq!(plan(&[100, 20, 5, 1]), None);
    assert_eq!(plan(&[8, 4, 2, 1]), Some(0..4));
    assert_eq!(plan(&[10, 10, 10, 10, 1]), Some(0..4));
    assert_eq!(plan(&[1; 100]), Some(68..100));
}

#[test]
fn repeated_compaction_keeps_the_number_of_parts_logarithmic() {
    let (mut sizes, mut rewritten) = (Vec::new(), 0);
    for size in [1_u64; 1_000] {
        sizes.push(size);
        while let Some(run) = plan(&sizes) {
            let sum = sizes[run.clone()].iter().sum();
            rewritten += sum;
            sizes.splice(run, [sum]);
        }
    }
    assert!(sizes.len() <= 24, "{sizes:?}");
    assert!(rewritten <= 10 * 1_000, "{rewritten} units rewritten for 1000 written");
}
