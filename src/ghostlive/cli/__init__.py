"""The command `ghostlive`. `main` holds the application, the other modules one group of commands each."""
