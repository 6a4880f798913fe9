mod body;
mod pack;
mod results;
mod text;
