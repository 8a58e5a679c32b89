//! The live page in a real browser.

mod support;

use support::browser::Browser;
use support::{Home, Served, mailbox, needs, wait_for};

fn serve(home: &Home) -> (Served, String) {
    let served = home.serve_with(&["--http", "127.0.0.1:0"]);
    let page = served.page();
    (served, page)
}

fn have_browser() -> bool {
    needs("chromium") && needs("chromedriver")
}

#[test]
fn messages_appear_and_one_sent_from_the_page_gets_its_receipt() {
    if !have_browser() {
        return;
    }
    let home = Home::new();
    let (served, page) = serve(&home);
    home.run(&["send", &served.native, "was there before"]).ok();
    let browser = Browser::start();
    browser.open(&page);
    browser.wait_for("#list", "was there before");
    browser.wait_for("#state", "connected");
    assert_eq!(
        browser.run("return location.href"),
        format!("http://{}/", served.http),
        "the token has left the address"
    );

    // Sent by the command, shown without a reload.
    browser.run("window.stays = true");
    home.run(&["send", &served.native, "from the command"]).ok();
    browser.wait_for("#list li:first-child", "from the command");

    // Sent from the page, with the keyboard alone.
    browser.types("#text", "from the page");
    let ctrl_enter = "\u{e009}\u{e007}";
    browser.types("#text", ctrl_enter);
    browser.wait_for("#receipt", "10-4  inbox #3  stored");
    browser.wait_for("#list li:first-child", "from the page");
    let last = home.run(&["tail", &served.native, "-n", "1", "--json"]).ok();
    assert!(
        last.contains(r#""sender":"token:page""#)
            && last.contains(r#""listener":"http""#)
            && last.contains(r#""text":"from the page""#),
        "{last}"
    );

    // Another mailbox, by its name in the list.
    home.run(&["send", &served.at("logs/web"), "in the log"]).ok();
    browser.wait_for("#mailboxes", "logs/web");
    browser.run(
        "[...document.querySelectorAll('#mailboxes button')].find(b => b.textContent === 'logs/web').click()",
    );
    browser.wait_for("#list", "in the log");
    assert!(!browser.text("#list").contains("from the page"));
    browser.wait_for("#connections", "token:page");
    assert_eq!(browser.run("return window.stays"), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_message_is_text_whatever_is_in_it() {
    if !have_browser() {
        return;
    }
    let home = Home::new();
    let (served, page) = serve(&home);
    let browser = Browser::start();
    browser.open(&page);
    browser.wait_for("#state", "connected");
    let evil = "<script>window.taken = 1</script><img src=x onerror='window.taken = 2'>\u{202e}\u{7}";
    home.run(&[
        "send",
        &served.native,
        evil,
        "--name",
        "<b>name<i>",
        "--type",
        "text/html",
    ])
    .ok();
    browser.wait_for("#list .body", "<script>window.taken = 1</script><img");
    browser.wait_for("#list .from", "<b>name<i>");
    assert_eq!(
        browser.run("return document.querySelectorAll('#list script, #list img, #list b').length"),
        0
    );
    assert!(browser.run("return window.taken ?? null").is_null());
    // And nobody can make it anything else: the browser itself refuses.
    let refused = browser.run(
        "try { document.getElementById('list').innerHTML = '<b>x</b>'; return 'made' } catch (error) { return error.name }",
    );
    assert_eq!(refused, "TypeError");
}

#[test]
fn without_a_token_it_asks_for_one_and_comes_back_after_a_restart() {
    if !have_browser() {
        return;
    }
    let home = Home::new();
    let served = home.serve_with(&["--http", &tenfour_checker::free_address().to_string()]);
    let token = home
        .run(&["keys", "token", "reader", "send=inbox", "read=inbox"])
        .ok();
    let (http, native) = (served.http.clone(), served.native.clone());
    let browser = Browser::start();
    browser.open(&format!("http://{http}/"));
    browser.wait_for("#login", "A token opens this page");
    browser.types("#token", token.trim());
    browser.click("#login button");
    browser.wait_for("#state", "may not see the status");
    home.run(&["send", &native, "one"]).ok();
    browser.wait_for("#list", "one");

    assert_eq!(served.stop(), Some(0));
    let served = home.serve_with(&["--http", &http, "--native", &native]);
    home.run(&["send", &served.native, "two"]).ok();
    browser.wait_for("#list li:first-child", "two");
    let shown = browser.run("return document.querySelectorAll('#list li').length");
    assert_eq!(shown, 2, "each once");
    wait_for("the messages", || {
        mailbox(&home, &served.native) == ["one", "two"]
    });
}

#[test]
fn it_fits_a_phone() {
    if !have_browser() {
        return;
    }
    let home = Home::new();
    let (served, page) = serve(&home);
    home.run(&["send", &served.native, &"long".repeat(200)]).ok();
    let browser = Browser::start();
    browser.size(390, 800);
    browser.open(&page);
    browser.wait_for("#list", "longlong");
    browser.wait_for("#connections", "token:page");
    let wider = browser.run("return document.documentElement.scrollWidth > window.innerWidth");
    assert_eq!(wider, false, "nothing is beyond the edge");
    // Everything that can be used has a name and can be reached by keyboard.
    let nameless = browser.run(
        "return [...document.querySelectorAll('input, select, textarea, button')].filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).length",
    );
    assert_eq!(nameless, 0);
    // For the documents: TENFOUR_PICTURE=FILE.
    if let Some(file) = std::env::var_os("TENFOUR_PICTURE") {
        std::fs::write(file, browser.picture()).unwrap();
    }
}
