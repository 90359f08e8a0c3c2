class Configure(exports.Configure):
    def configure(self, settings):
        try:
            policy.configure({name: value.value for name, value in settings})
        except ValueError as error:
            raise Err(str(error))
