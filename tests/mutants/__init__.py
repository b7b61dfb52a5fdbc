"""Do the tests notice when the code is wrong? `make mutants` changes it and looks."""
