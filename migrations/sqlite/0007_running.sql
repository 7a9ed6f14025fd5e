-- What ran at the last moment of each spool that is known: JSON, of calls the time that is in no usage event yet. A process
-- that was killed could not tell it.
ALTER TABLE spools ADD COLUMN running TEXT;
