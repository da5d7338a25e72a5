//! Runs the notes service.
//!
//! ```text
//! cargo run -p web
//! DATABASE_URL=postgres://user:password@localhost/notes PORT=8080 cargo run -p web
//! ```

use std::env;
use std::error::Error;
use std::net::Ipv4Addr;

use databases::Database;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let port = match env::var("PORT") {
        Ok(port) => port.parse().map_err(|_| "PORT must be a number from 0 to 65535")?,
        Err(_) => 3000,
    };
    let db = Database::connect(url).await?;
    web::create_table(&db).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("notes are in {}", db.url());
    println!("open http://{}; Ctrl-C ends it", listener.local_addr()?);
    axum::serve(listener, web::app(db)).await?;
    Ok(())
}
