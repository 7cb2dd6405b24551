"""The verbs, one module each: ``load`` makes a case, all others work on one."""
