//! Puts a table between its marks in docs/nfs.md, so that no figure there is typed by hand.

use std::fs;
use std::path::Path;

/// Renews the section of this name.
pub(crate) fn renew(name: &str, text: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/nfs.md");
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    let page = fs::read_to_string(&path).map_err(problem)?;
    fs::write(&path, replaced(&page, name, text)?).map_err(problem)
}

/// The page with the section's text replaced.
pub(crate) fn replaced(page: &str, name: &str, text: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {name}: begin"), format!("<!-- {name}: end -->"));
    let no_mark = |mark: &str| format!("docs/nfs.md has no mark `{mark}`");
    let (before, rest) = page.split_once(&begin).ok_or_else(|| no_mark(&begin))?;
    let (remark, rest) = rest.split_once('\n').ok_or_else(|| no_mark(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| no_mark(&end))?;
    Ok(format!("{before}{begin}{remark}\n{}\n{end}{after}", text.trim_end()))
}
