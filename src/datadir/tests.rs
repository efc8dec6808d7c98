use super::*;
use std::time::SystemTime;

#[test]
fn a_data_dir_that_does_not_exist_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::new(&dir.path().join("data"), None);
    let contents = volume.inspect(Depth::Deep).unwrap();
    assert_eq!(contents.finding, Finding::Empty);
    assert!(!contents.leftovers && !contents.stalled && !contents.given_up);
    assert_eq!(volume.quarantine(SystemTime::now()).unwrap(), None);
}
