"""The programs beside this file are for the tests of every stage: pytest finds modules beside a conftest."""
