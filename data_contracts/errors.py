"""The one error of contracts, in a module that imports nothing."""


class ContractError(ValueError):
    """A contract cannot be read or run, or a table cannot be compared with it; the message says where and what next."""
