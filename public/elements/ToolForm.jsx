// The form of a tool. The server says which fields there are, what they hold and what is wrong; it reads them, too:
// nothing is converted or checked here. Sending it runs the tool; then the same element shows what was sent.
import { useChatInteract } from '@chainlit/react-client';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'react';

const storeKey = (props) => `longhaul-form:${props.job_id}`;

// What was typed and not sent survives a reload of the tab.
const remembered = (props) => {
  try {
    return JSON.parse(sessionStorage.getItem(storeKey(props))) || {};
  } catch {
    return {};
  }
};

const remember = (props, values) => {
  try {
    if (values) sessionStorage.setItem(storeKey(props), JSON.stringify(values));
    else sessionStorage.removeItem(storeKey(props));
  } catch {
    // Storage is full or forbidden: the form works without.
  }
};

const firstValues = (props) => Object.fromEntries(props.fields.map((field) => [field.name, field.value]));

const sizeOf = (bytes) =>
  bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

const GrowingText = ({ multiline, ...rest }) => {
  const area = useRef(null);
  useLayoutEffect(() => {
    area.current.style.height = 'auto';
    area.current.style.height = `${area.current.scrollHeight + 2}px`;
  }, [rest.value]);
  const onKeyDown = (event) => {
    const sends = multiline ? event.ctrlKey || event.metaKey : !event.shiftKey;
    if (event.key === 'Enter' && sends && !event.nativeEvent.isComposing) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  };
  return <textarea ref={area} rows={multiline ? 3 : 1} onKeyDown={onKeyDown} {...rest} />;
};

const Upload = ({ multiple, onFile, describedBy }) => {
  const { uploadFile } = useChatInteract();
  const input = useRef(null);
  const [state, setState] = useState('');
  const send = async (event) => {
    const chosen = [...event.target.files];
    event.target.value = '';
    for (const file of chosen) {
      setState(`Uploading ${file.name} …`);
      try {
        const { id } = await uploadFile(file, () => {}).promise;
        onFile({ id, name: file.name, size: file.size });
        setState('');
      } catch (error) {
        setState(`${file.name} could not be uploaded${typeof error === 'string' ? `: ${error}` : '; try again.'}`);
        return;
      }
    }
  };
  return (
    <span className="tool-form-upload">
      <input ref={input} type="file" hidden multiple={multiple} onChange={send} />
      <button type="button" className="tool-form-quiet" onClick={() => input.current.click()} aria-describedby={describedBy}>
        Upload …
      </button>
      <span role="status">{state}</span>
    </span>
  );
};

const Control = ({ field, value, set, files, addFile, aria }) => {
  const text = { ...aria, value: value ?? '', onChange: (event) => set(event.target.value) };
  switch (field.kind) {
    case 'text':
      return <GrowingText {...text} />;
    case 'long':
      return <GrowingText multiline {...text} />;
    case 'list':
    case 'json':
      return <GrowingText multiline {...text} spellCheck={false} data-code={field.kind === 'json' || undefined} />;
    case 'integer':
    case 'number':
      return <input type="text" inputMode={field.kind === 'integer' ? 'numeric' : 'decimal'} autoComplete="off" {...text} />;
    case 'date':
      return <input type={/^(\d{4}-\d\d-\d\d)?$/.test(text.value) ? 'date' : 'text'} {...text} />;
    case 'datetime':
      return (
        <input type={/^(\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?)?$/.test(text.value) ? 'datetime-local' : 'text'} {...text} />
      );
    case 'choice':
      return (
        <select {...text}>
          {field.optional || text.value === '' ? <option value="">{field.optional ? '–' : 'Choose …'}</option> : null}
          {field.options.map((label, index) => (
            <option key={index} value={String(index)}>
              {label}
            </option>
          ))}
        </select>
      );
    case 'file':
      return (
        <div className="tool-form-file">
          <select {...text}>
            <option value="">{files.length ? (field.required ? 'Choose …' : '–') : 'No files in this chat yet'}</option>
            {files.map((file) => (
              <option key={file.id} value={file.id}>
                {file.name} ({sizeOf(file.size)})
              </option>
            ))}
          </select>
          <Upload describedBy={aria.id} onFile={(file) => (addFile(file), set(file.id))} />
        </div>
      );
    default:
      return null;
  }
};

const Files = ({ field, value, set, files, addFile, aria }) => {
  const { id, ...described } = aria;
  // Two uploads may end before the page is drawn again: each adds to what is chosen by then.
  const chosen = (Array.isArray(value) ? value : []).filter((one) => files.some((file) => file.id === one));
  return (
    <div className="tool-form-files" role="group" aria-labelledby={`${id}-label`} aria-describedby={described['aria-describedby']}>
      {files.map((file, index) => (
        <label key={file.id}>
          <input
            {...(index === 0 ? { ...described, id } : {})}
            type="checkbox"
            checked={chosen.includes(file.id)}
            onChange={(event) =>
              set(event.target.checked ? [...chosen, file.id] : chosen.filter((one) => one !== file.id))
            }
          />
          <span>{file.name}</span> <small>{sizeOf(file.size)}</small>
        </label>
      ))}
      <Upload
        multiple
        describedBy={`${id}-label`}
        onFile={(file) => (addFile(file), set((now) => [...(Array.isArray(now) ? now : []), file.id]))}
      />
    </div>
  );
};

const Field = (props) => {
  const { field, problem, base } = props;
  const id = `${base}-${field.name}`;
  const help = [field.description, field.hint].filter(Boolean).join(' ');
  const aria = {
    id,
    name: field.name,
    'aria-required': field.required || undefined,
    'aria-invalid': problem ? true : undefined,
    'aria-describedby': [help && `${id}-help`, problem && `${id}-problem`].filter(Boolean).join(' ') || undefined
  };
  const label = (
    <>
      {field.label}
      {field.required ? <i aria-hidden="true"> *</i> : null}
    </>
  );
  const notes = (
    <>
      {help ? (
        <p id={`${id}-help`} className="tool-form-help">
          {help}
        </p>
      ) : null}
      {problem ? (
        <p id={`${id}-problem`} className="tool-form-problem">
          {problem}
        </p>
      ) : null}
    </>
  );
  if (field.kind === 'boolean')
    return (
      <div className="tool-form-field">
        <label className="tool-form-tick">
          <input {...aria} type="checkbox" checked={props.value === true} onChange={(e) => props.set(e.target.checked)} />
          {label}
        </label>
        {notes}
      </div>
    );
  if (field.kind === 'files')
    return (
      <div className="tool-form-field" data-invalid={problem ? true : undefined}>
        <span id={`${id}-label`} className="tool-form-label">
          {label}
        </span>
        <Files {...props} aria={aria} />
        {notes}
      </div>
    );
  return (
    <div className="tool-form-field">
      <label htmlFor={id}>{label}</label>
      <Control {...props} aria={aria} />
      {notes}
    </div>
  );
};

const OpenForm = ({ props, again: opened, callAction, onSent, onCancel }) => {
  const base = useId();
  const form = useRef(null);
  const sending = useRef(false);
  const [busy, setBusy] = useState(false);
  const [values, setValues] = useState(() => ({ ...firstValues(props), ...remembered(props) }));
  const [problems, setProblems] = useState(props.problems);
  const [uploaded, setUploaded] = useState([]);
  const files = [...props.files, ...uploaded.filter((file) => !props.files.some((one) => one.id === file.id))];

  // To the first wrong field; of a form that has just come, only if the person is nowhere else.
  const arrived = useRef(true);
  useEffect(() => {
    const wrong = form.current.querySelector('[aria-invalid="true"], [data-invalid] input, [data-invalid] button');
    const free = [null, document.body].includes(document.activeElement);
    if (wrong && (!arrived.current || free)) wrong.focus();
    else if (arrived.current && onCancel) form.current.querySelector('input, select, textarea, button')?.focus();
    arrived.current = false;
  }, [problems]);

  const set = (name) => (value) => {
    setValues((now) => {
      const next = { ...now, [name]: typeof value === 'function' ? value(now[name]) : value };
      remember(props, next);
      return next;
    });
    if (problems[name]) setProblems(({ [name]: _, ...others }) => others);
  };

  const submit = async (event) => {
    event.preventDefault();
    if (sending.current) return;
    sending.current = true;
    setBusy(true);
    const again = (found) => {
      sending.current = false;
      setBusy(false);
      if (found) setProblems(found);
    };
    try {
      const answer = await callAction({ name: 'submit_form', payload: { job_id: props.job_id, values, again: opened } });
      const found = answer?.response?.problems;
      if (!found) throw new Error('no answer');
      if (Object.keys(found).length) return again(found);
      remember(props, null);
      if (opened) return onSent();
      setTimeout(again, 5000); // the job takes the form's place long before
    } catch {
      again({ '': 'The form could not be sent. Check the connection and try again.' });
    }
  };

  return (
    <form ref={form} className="tool-form" onSubmit={submit} noValidate aria-label={`Arguments of ${props.tool}`}>
      <header>
        <code>/{props.tool}</code>
        {props.headline ? <p>{props.headline}</p> : null}
      </header>
      {problems[''] ? (
        <p className="tool-form-problem" role="alert">
          {problems['']}
        </p>
      ) : null}
      {props.fields.map((field) => (
        <Field
          key={field.name}
          base={base}
          field={field}
          value={values[field.name]}
          set={set(field.name)}
          problem={problems[field.name]}
          files={files}
          addFile={(file) => setUploaded((now) => [...now, file])}
        />
      ))}
      {props.fields.length ? null : <p className="tool-form-help">This tool needs nothing.</p>}
      <footer>
        <button type="submit" disabled={busy}>
          {busy ? 'Starting …' : 'Run'}
        </button>
        {onCancel ? (
          <button type="button" className="tool-form-quiet" onClick={onCancel} disabled={busy}>
            Cancel
          </button>
        ) : null}
        {props.fields.some((field) => field.required) ? <small>* required</small> : null}
      </footer>
    </form>
  );
};

const shown = (field, files) => {
  const nameOf = (id) => files.find((file) => file.id === id)?.name || 'a file that is gone';
  switch (field.kind) {
    case 'boolean':
      return field.value ? 'Yes' : 'No';
    case 'choice':
      return field.value === '' ? '' : field.options[Number(field.value)];
    case 'file':
      return field.value && nameOf(field.value);
    case 'files':
      return field.value.map(nameOf).join(', ');
    default:
      return field.value;
  }
};

const SentForm = ({ props }) => {
  const rows = props.fields.map((field) => [field, shown(field, props.files)]);
  const brief = rows.filter(([, value]) => value).map(([field, value]) => `${field.label}: ${value}`);
  return (
    <details className="tool-form tool-form-sent">
      <summary>
        <code>/{props.tool}</code>
        <span>{brief.join(' · ')}</span>
      </summary>
      <dl>
        {rows.map(([field, value]) => (
          <div key={field.name}>
            <dt>{field.label}</dt>
            <dd>{value || <em>empty</em>}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
};

const ToolForm = ({ props, callAction }) => {
  // A person asked the job card for other arguments: open on this page until sent, or called off.
  const [again, setAgain] = useState(null);
  const opened = again?.job === props.job_id ? again.key : null;
  useEffect(() => {
    const open = ({ detail }) => detail.job === props.job_id && setAgain(detail);
    window.addEventListener('longhaul-change', open);
    return () => window.removeEventListener('longhaul-change', open);
  }, [props.job_id]);
  if (!props.open && !opened) return <SentForm props={props} />;
  const close = () => setAgain(null);
  return (
    <OpenForm
      key={`${props.job_id}:${opened || ''}`}
      props={props}
      again={opened}
      callAction={callAction}
      onSent={close}
      onCancel={opened ? close : null}
    />
  );
};

// The page evaluates this file anew whenever something about it may have changed. An element of the first evaluation's
// component keeps its state; a component of each evaluation's own would lose what is being typed.
const Kept = (window.longhaulToolForm ??= ToolForm);

export default <Kept props={props} callAction={callAction} />;
