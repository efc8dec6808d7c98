//! The places in `docs/` for tables that are written by programs.

/// The page with this table in the place that has its name.
pub fn replaced(page: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- table:{name} -->\n");
    let place = page.find(&begin);
    let start = place.expect("the page has the table's place") + begin.len();
    let length = page[start..].find("<!-- end -->");
    let end = start + length.expect("the table's place has an end");
    format!("{}{table}{}", &page[..start], &page[end..])
}
